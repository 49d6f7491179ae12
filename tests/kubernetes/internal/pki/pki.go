// Package pki makes the keys and certificates of one cluster. They live as long as its folder.
package pki

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"
)

const lifetime = 365 * 24 * time.Hour

// Authority signs.
type Authority struct {
	directory   string
	certificate *x509.Certificate
	key         crypto.Signer
}

// Identity says whom a certificate is for.
type Identity struct {
	// File is the name of the files, without `.crt` and `.key`.
	File          string
	CommonName    string
	Organizations []string
	// Names and Addresses make it a server's.
	Names     []string
	Addresses []string
}

// NewAuthority writes ca.crt and ca.key, and the pair sa.key and sa.pub that signs the tokens of service accounts.
func NewAuthority(directory string) (*Authority, error) {
	if err := os.MkdirAll(directory, 0o755); err != nil {
		return nil, err
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	template := template(pkix.Name{CommonName: "testbed"})
	template.IsCA, template.BasicConstraintsValid = true, true
	template.KeyUsage = x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, err
	}
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, err
	}
	authority := &Authority{directory: directory, certificate: certificate, key: key}
	if err := authority.write("ca", der, key); err != nil {
		return nil, err
	}
	return authority, authority.tokenKeys()
}

func (a *Authority) tokenKeys() error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	if err := a.writeKey("sa.key", key); err != nil {
		return err
	}
	public, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		return err
	}
	return a.writePEM("sa.pub", "PUBLIC KEY", public, 0o644)
}

// Issue writes a certificate and its key.
func (a *Authority) Issue(identity Identity) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	template := template(pkix.Name{CommonName: identity.CommonName, Organization: identity.Organizations})
	template.KeyUsage = x509.KeyUsageDigitalSignature
	template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth}
	template.DNSNames = identity.Names
	for _, address := range identity.Addresses {
		template.IPAddresses = append(template.IPAddresses, net.ParseIP(address))
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.certificate, key.Public(), a.key)
	if err != nil {
		return err
	}
	return a.write(identity.File, der, key)
}

func template(subject pkix.Name) *x509.Certificate {
	// The clocks of one machine agree, but a certificate must not be from the future after rounding.
	begin := time.Now().Add(-time.Minute)
	serial := new(big.Int).SetBytes([]byte(rand.Text()[:16]))
	return &x509.Certificate{SerialNumber: serial, Subject: subject, NotBefore: begin, NotAfter: begin.Add(lifetime)}
}

func (a *Authority) write(file string, certificate []byte, key *ecdsa.PrivateKey) error {
	if err := a.writePEM(file+".crt", "CERTIFICATE", certificate, 0o644); err != nil {
		return err
	}
	return a.writeKey(file+".key", key)
}

func (a *Authority) writeKey(file string, key *ecdsa.PrivateKey) error {
	der, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		return err
	}
	return a.writePEM(file, "EC PRIVATE KEY", der, 0o600)
}

func (a *Authority) writePEM(file, kind string, bytes []byte, mode os.FileMode) error {
	text := pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: bytes})
	return os.WriteFile(filepath.Join(a.directory, file), text, mode)
}

// WriteKubeconfig writes a file that holds everything needed, so that it can be copied elsewhere.
func (a *Authority) WriteKubeconfig(path, server, identity string) error {
	var data [3]string
	for index, file := range []string{"ca.crt", identity + ".crt", identity + ".key"} {
		bytes, err := os.ReadFile(filepath.Join(a.directory, file))
		if err != nil {
			return err
		}
		data[index] = base64.StdEncoding.EncodeToString(bytes)
	}
	return os.WriteFile(path, fmt.Appendf(nil, kubeconfig, data[0], server, data[1], data[2]), 0o600)
}

const kubeconfig = `apiVersion: v1
kind: Config
clusters:
- name: testbed
  cluster:
    certificate-authority-data: %s
    server: %s
users:
- name: testbed
  user:
    client-certificate-data: %s
    client-key-data: %s
contexts:
- name: testbed
  context: {cluster: testbed, user: testbed}
current-context: testbed
`
