package platform

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"syscall"

	"github.com/quokka-stream/quokka/deploy/roster"
)

// Part is something with an address of its own.
type Part string

// The parts that listen, beside the services of package roster.
const (
	Broker   Part = "broker"
	Registry Part = "registry"
	Traces   Part = "traces"
	SMTP     Part = "smtp"
	Mail     Part = "mail"
	Postgres Part = "postgres"
)

// DefaultPorts are the ports on 127.0.0.1 of a platform that stays up.
var DefaultPorts = defaultPorts()

func defaultPorts() map[Part]int {
	ports := map[Part]int{Broker: 9092, Registry: 8081, Traces: 16686, SMTP: 1025, Mail: 8025, Postgres: 54329}
	for _, s := range roster.Services() {
		ports[Part(s.Name)] = s.Port()
	}
	return ports
}

// Flag is the option that sets the part's address.
func (p Part) Flag() string { return "--" + string(p) + "-addr" }

// Variable is the environment variable that sets the part's address.
func (p Part) Variable() string {
	name := []byte("QUOKKA_" + string(p) + "_ADDR")
	for i, c := range name {
		switch {
		case c == '-':
			name[i] = '_'
		case c >= 'a' && c <= 'z':
			name[i] = c - 'a' + 'A'
		}
	}
	return string(name)
}

// AddressError says that a part cannot listen where it should.
type AddressError struct {
	Part Part
	Addr string
	Err  error
}

func (e *AddressError) Error() string {
	how := fmt.Sprintf("choose another address with %s or %s", e.Part.Flag(), e.Part.Variable())
	if errors.Is(e.Err, syscall.EADDRINUSE) {
		return fmt.Sprintf("%s is taken by another program, and %s wants it: stop that program, or %s", e.Addr, e.Part, how)
	}
	return fmt.Sprintf("%s cannot listen on %s: %v: %s", e.Part, e.Addr, e.Err, how)
}

func (e *AddressError) Unwrap() error { return e.Err }

// listeners holds the ports of the parts to start before any of them starts, so
// that a taken one is known at once. All of them are on loopback: nothing here
// asks who is calling.
type listeners struct {
	open     map[Part]net.Listener
	postgres int // its port, held by nobody; 0: any
}

// address is where a part listens: as configured, else any free port, else its
// default.
func (c Config) address(p Part) string {
	switch {
	case c.Addrs[p] != "":
		return c.Addrs[p]
	case c.FreePorts:
		return "127.0.0.1:0"
	default:
		return net.JoinHostPort("127.0.0.1", strconv.Itoa(DefaultPorts[p]))
	}
}

// listen opens the ports of the parts that are to be started.
func listen(ctx context.Context, cfg Config) (_ *listeners, err error) {
	l := &listeners{open: map[Part]net.Listener{}}
	defer func() {
		if err != nil {
			l.close()
		}
	}()
	for _, p := range cfg.parts() {
		addr := cfg.address(p)
		if err := checkLoopback(addr); err != nil {
			return nil, &AddressError{p, addr, err}
		}
		ln, err := (&net.ListenConfig{}).Listen(ctx, "tcp", addr)
		if err != nil {
			return nil, &AddressError{p, addr, err}
		}
		if p == Postgres {
			// PostgreSQL opens its port itself.
			if _, port, _ := net.SplitHostPort(addr); port != "0" {
				l.postgres = ln.Addr().(*net.TCPAddr).Port
			}
			ln.Close()
			continue
		}
		l.open[p] = ln
	}
	return l, nil
}

// take hands a listener over to the part that will close it.
func (l *listeners) take(p Part) net.Listener {
	ln := l.open[p]
	delete(l.open, p)
	return ln
}

// close closes what nobody took.
func (l *listeners) close() {
	for _, ln := range l.open {
		ln.Close()
	}
}

func checkLoopback(addr string) error {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return err
	}
	if ip := net.ParseIP(host); host == "localhost" || ip != nil && ip.IsLoopback() {
		return nil
	}
	return errors.New("other machines could reach it, and it does not ask who is calling (the parts run one by one, and behind TLS, where others need them)")
}
