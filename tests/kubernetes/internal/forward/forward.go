// Package forward listens on loopback and dials inside a network namespace, so that a person and a test reach what
// runs in a cluster without a route to it.
package forward

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"runtime"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

const (
	dialLimit   = 5 * time.Second
	connections = 1024
)

// Rule is one listening address and where it leads.
type Rule struct {
	// Listen is an address of loopback.
	Listen string
	// Target is a host, by name or address, and a port in the namespace.
	Target string
}

// ParseRules reads `127.0.0.1:8080=web-http.hg.svc.cluster.local:80`.
func ParseRules(texts []string) ([]Rule, error) {
	var rules []Rule
	for _, text := range texts {
		listen, target, found := strings.Cut(text, "=")
		host, _, err := net.SplitHostPort(listen)
		if !found || err != nil {
			return nil, fmt.Errorf("%q: write '127.0.0.1:PORT=HOST:PORT'", text)
		}
		if _, _, err := net.SplitHostPort(target); err != nil {
			return nil, fmt.Errorf("%q: %w", text, err)
		}
		if address := net.ParseIP(host); address == nil || !address.IsLoopback() {
			return nil, fmt.Errorf("%q: only loopback is listened on", text)
		}
		rules = append(rules, Rule{Listen: listen, Target: target})
	}
	return rules, nil
}

// Forwarder leads into one namespace.
type Forwarder struct {
	// Namespace is a network namespace's file, or empty for this program's own.
	Namespace string
	// NameServer resolves the targets, inside of the namespace.
	NameServer string
}

// Serve returns when `ctx` ends or an address cannot be listened on.
func (f Forwarder) Serve(ctx context.Context, rules []Rule) error {
	var listeners []net.Listener
	defer func() {
		for _, listener := range listeners {
			_ = listener.Close()
		}
	}()
	slots := make(chan struct{}, connections)
	for _, rule := range rules {
		listener, err := net.Listen("tcp", rule.Listen)
		if err != nil {
			return err
		}
		listeners = append(listeners, listener)
		go f.accept(ctx, listener, rule.Target, slots)
	}
	<-ctx.Done()
	return nil
}

func (f Forwarder) accept(ctx context.Context, listener net.Listener, target string, slots chan struct{}) {
	for {
		connection, err := listener.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		} else if err != nil {
			fmt.Println(err)
			time.Sleep(100 * time.Millisecond)
			continue
		}
		slots <- struct{}{}
		go func() {
			defer func() { <-slots }()
			defer connection.Close()
			if err := f.join(ctx, connection, target); err != nil {
				fmt.Println(target, err)
			}
		}()
	}
}

func (f Forwarder) join(ctx context.Context, client net.Conn, target string) error {
	server, err := f.Dial(ctx, target)
	if err != nil {
		return err
	}
	defer server.Close()
	var both sync.WaitGroup
	for _, pair := range [][2]net.Conn{{client, server}, {server, client}} {
		both.Go(func() {
			from, to := pair[0], pair[1]
			if _, err := io.Copy(to, from); err != nil {
				// One direction broke: whoever waits on the other learns it.
				_ = from.Close()
				_ = to.Close()
				return
			}
			if half, ok := to.(*net.TCPConn); ok {
				_ = half.CloseWrite()
			}
		})
	}
	both.Wait()
	return nil
}

// Dial connects from inside of the namespace.
func (f Forwarder) Dial(ctx context.Context, target string) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, dialLimit)
	defer cancel()
	host, port, err := net.SplitHostPort(target)
	if err != nil {
		return nil, err
	}
	address := host
	if net.ParseIP(host) == nil {
		resolver := net.Resolver{PreferGo: true, Dial: func(ctx context.Context, kind, _ string) (net.Conn, error) {
			return f.dialFrom(ctx, kind, f.NameServer)
		}}
		// The final dot keeps the machine's own search list out of it.
		addresses, err := resolver.LookupIP(ctx, "ip4", host+".")
		if err != nil {
			return nil, err
		}
		address = addresses[0].String()
	}
	return f.dialFrom(ctx, "tcp", net.JoinHostPort(address, port))
}

// A socket belongs to the namespace that its thread was in when it was made.
func (f Forwarder) dialFrom(ctx context.Context, kind, address string) (net.Conn, error) {
	var dialer net.Dialer
	if f.Namespace == "" {
		return dialer.DialContext(ctx, kind, address)
	}
	type result struct {
		connection net.Conn
		err        error
	}
	answer := make(chan result)
	go func() {
		// Never unlocked: the thread ends with this function and takes the foreign namespace with it.
		runtime.LockOSThread()
		if err := enter(f.Namespace); err != nil {
			answer <- result{err: err}
			return
		}
		connection, err := dialer.DialContext(ctx, kind, address)
		answer <- result{connection, err}
	}()
	dialed := <-answer
	return dialed.connection, dialed.err
}

func enter(namespace string) error {
	file, err := unix.Open(namespace, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("%s: %w", namespace, err)
	}
	defer unix.Close(file)
	return unix.Setns(file, unix.CLONE_NEWNET)
}
