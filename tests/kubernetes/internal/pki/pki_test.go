package pki

import (
	"crypto/tls"
	"crypto/x509"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestIssuedCertificatesAreSignedByTheAuthority(t *testing.T) {
	directory := t.TempDir()
	authority, err := NewAuthority(directory)
	if err != nil {
		t.Fatal(err)
	}
	server := Identity{File: "server", CommonName: "server", Names: []string{"localhost"},
		Addresses: []string{"10.0.0.1"}}
	if err := authority.Issue(server); err != nil {
		t.Fatal(err)
	}
	pair, err := tls.LoadX509KeyPair(filepath.Join(directory, "server.crt"), filepath.Join(directory, "server.key"))
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(authority.certificate)
	for _, name := range []string{"localhost", "10.0.0.1"} {
		if _, err := pair.Leaf.Verify(x509.VerifyOptions{DNSName: name, Roots: roots}); err != nil {
			t.Error(err)
		}
	}
	if _, err := pair.Leaf.Verify(x509.VerifyOptions{DNSName: "elsewhere", Roots: roots}); err == nil {
		t.Error("the certificate is good for any name")
	}
}

func TestAKubeconfigNeedsNoOtherFile(t *testing.T) {
	directory := t.TempDir()
	authority, err := NewAuthority(directory)
	if err != nil {
		t.Fatal(err)
	}
	if err := authority.Issue(Identity{File: "admin", CommonName: "admin"}); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(directory, "admin.conf")
	if err := authority.WriteKubeconfig(path, "https://127.0.0.1:1", "admin"); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(text), "server: https://127.0.0.1:1\n") || strings.Contains(string(text), directory) {
		t.Errorf("%s", text)
	}
}
