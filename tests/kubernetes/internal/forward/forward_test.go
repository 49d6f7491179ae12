package forward

import (
	"context"
	"io"
	"net"
	"testing"
)

func TestRulesAreRefusedWithAReason(t *testing.T) {
	rules, err := ParseRules([]string{"127.0.0.1:80=10.0.0.1:8080", "127.0.0.1:81=web.hg.svc.cluster.local:80"})
	if err != nil || len(rules) != 2 || rules[1].Target != "web.hg.svc.cluster.local:80" {
		t.Errorf("%v, %v", rules, err)
	}
	for _, wrong := range []string{"", "127.0.0.1:80", "127.0.0.1:80=host", "0.0.0.0:80=10.0.0.1:80", "80=10.0.0.1:80"} {
		if _, err := ParseRules([]string{wrong}); err == nil {
			t.Errorf("%q was accepted", wrong)
		}
	}
}

func TestBothDirectionsAreJoinedUntilBothHaveEnded(t *testing.T) {
	server, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	go func() {
		connection, err := server.Accept()
		if err != nil {
			return
		}
		defer connection.Close()
		// Everything is read before the first answer, so a half-closed client must still hear it.
		text, _ := io.ReadAll(connection)
		_, _ = connection.Write(append(text, " back"...))
	}()
	front, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer front.Close()
	go Forwarder{}.accept(context.Background(), front, server.Addr().String(), make(chan struct{}, 1))
	client, err := net.Dial("tcp", front.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	if _, err := client.Write([]byte("there and")); err != nil {
		t.Fatal(err)
	}
	if err := client.(*net.TCPConn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if answer, err := io.ReadAll(client); err != nil || string(answer) != "there and back" {
		t.Errorf("%q, %v", answer, err)
	}
}
