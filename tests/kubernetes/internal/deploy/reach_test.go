package deploy

import (
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
)

func TestAnOpenPortIsNoSSHServer(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	greetings := make(chan string, 2)
	greetings <- "SSH-2.0-hgd\r\n"
	greetings <- ""
	go func() {
		for greeting := range greetings {
			connection, err := listener.Accept()
			if err != nil {
				return
			}
			_, _ = connection.Write([]byte(greeting))
			_ = connection.Close()
		}
	}()
	if err := saysSSH(listener.Addr().String()); err != nil {
		t.Error(err)
	}
	if err := saysSSH(listener.Addr().String()); err == nil {
		t.Error("a connection that is closed at once was accepted")
	}
}

func TestAGatewaysErrorIsNoAnswer(t *testing.T) {
	status := http.StatusNotFound
	answer := func(to http.ResponseWriter, _ *http.Request) { to.WriteHeader(status) }
	server := httptest.NewServer(http.HandlerFunc(answer))
	defer server.Close()
	if err := saysHTTP(context.Background(), server.URL); err != nil {
		t.Error(err)
	}
	status = http.StatusBadGateway
	if err := saysHTTP(context.Background(), server.URL); err == nil {
		t.Error("502 was accepted")
	}
}
