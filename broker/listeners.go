package broker

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/quokka-stream/quokka/broker/internal/auth"
	"github.com/quokka-stream/quokka/broker/internal/cluster"
)

// Listener is one of the listeners of a broker. Clients are told the address of
// the listener they came by, so that those inside a network and those outside each
// stay on theirs.
type Listener struct {
	// Name names the listener, in capital letters: "INTERNAL". Default: the name of
	// its protocol.
	Name string
	// Listen is the address to listen on. Port 0 takes a free one.
	Listen string
	// Listener is used instead of Listen when it is set. The broker closes it.
	Listener net.Listener
	// Advertise is the host:port that clients of this listener are told to connect
	// to; default: the address by which they came.
	Advertise string
	// TLS, if it is set, encrypts the listener. Without SASL, a client that shows a
	// certificate which ClientAuth had verified is who the certificate names.
	TLS *tls.Config
	// SASL makes every client log in.
	SASL bool
	// Mechanisms are the SASL mechanisms on offer; default: all there are,
	// SCRAM-SHA-256, SCRAM-SHA-512, and, over TLS or on loopback, PLAIN.
	Mechanisms []string
	// PrincipalMapping makes a principal of a certificate's subject, by rules as in
	// Kafka's ssl.principal.mapping.rules; default "DEFAULT": the subject as it is.
	PrincipalMapping string

	mapping auth.PrincipalMapping // parsed
	stores  *listenerStores       // of TLS, where settings name them
}

// protocol is Kafka's name for how the listener is secured.
func (l *Listener) protocol() string {
	switch {
	case l.TLS != nil && l.SASL:
		return "SASL_SSL"
	case l.TLS != nil:
		return "SSL"
	case l.SASL:
		return "SASL_PLAINTEXT"
	}
	return "PLAINTEXT"
}

// private says whether strangers can neither read nor use the listener.
func (l *Listener) private() bool {
	return l.TLS != nil && (l.SASL || l.TLS.ClientAuth == tls.RequireAndVerifyClientCert)
}

// named says whether clients of the listener have names.
func (l *Listener) named() bool {
	return l.SASL || l.TLS != nil && l.TLS.ClientAuth >= tls.VerifyClientCertIfGiven
}

// principal is who a client is before it says so; empty where it has to.
func (l *Listener) principal() string {
	if l.SASL {
		return ""
	}
	return auth.Anonymous
}

// mechanisms are the SASL mechanisms on offer out of those wanted, which are all
// when there are none. PLAIN shows the password to whoever can see the bytes.
func (l *Listener) mechanisms(addr net.Addr, wanted []string) []string {
	if !l.SASL {
		return nil
	}
	offer := []string{auth.ScramSHA256.String(), auth.ScramSHA512.String()}
	a, ok := addr.(*net.TCPAddr)
	if l.TLS != nil || ok && a.IP.IsLoopback() {
		offer = append(offer, auth.Plain)
	}
	if len(wanted) > 0 {
		offer = slices.DeleteFunc(offer, func(m string) bool { return !slices.Contains(wanted, m) })
	}
	return offer
}

// single is the listener that the fields from Listen to Advertise describe.
func (c *Config) single() Listener {
	setDefault(&c.Listen, "127.0.0.1:9092")
	return Listener{
		Listen: c.Listen, Listener: c.Listener, Advertise: c.Advertise, TLS: c.TLS, SASL: c.SASL,
		PrincipalMapping: c.Settings["ssl.principal.mapping.rules"],
	}
}

// checkListeners says what is wrong with listeners, and fills in their names.
func checkListeners(listeners []Listener, allowRemote bool) (errs []error) {
	seen, addrs := map[string]bool{}, map[string]bool{}
	for i := range listeners {
		l := &listeners[i]
		setDefault(&l.Name, l.protocol())
		if seen[l.Name] {
			errs = append(errs, fmt.Errorf("listener %s is there twice: give each a name of its own", l.Name))
		}
		seen[l.Name] = true
		if l.Advertise != "" {
			host, _, err := splitAddr(l.Advertise)
			if err == nil && (host == "" || net.ParseIP(host).IsUnspecified()) {
				err = errors.New("clients cannot connect to an address that stands for all of them")
			}
			if err != nil {
				errs = append(errs, fmt.Errorf("advertised address %q of listener %s (--advertise, advertised.listeners) is no host:port that clients can use: %w", l.Advertise, l.Name, err))
			}
		}
		var err error
		if l.mapping, err = auth.ParsePrincipalMapping(l.PrincipalMapping); err != nil {
			errs = append(errs, fmt.Errorf("ssl.principal.mapping.rules of listener %s: %w", l.Name, err))
		}
		if l.Listener != nil {
			continue
		}
		if err := checkListen(l.Listen, allowRemote || l.private()); err != nil {
			errs = append(errs, err)
		}
		if addrs[l.Listen] && !strings.HasSuffix(l.Listen, ":0") {
			errs = append(errs, fmt.Errorf("two listeners have the address %s: give each a port of its own", l.Listen))
		}
		addrs[l.Listen] = true
	}
	return errs
}

// checkListen refuses addresses that others can reach, unless that was asked for.
func checkListen(addr string, allowRemote bool) error {
	host, _, err := splitAddr(addr)
	if err != nil {
		return fmt.Errorf("listen address %q (--listen, listeners): %w", addr, err)
	}
	if allowRemote || host == "localhost" {
		return nil
	}
	if ip := net.ParseIP(host); ip != nil && ip.IsLoopback() {
		return nil
	}
	return fmt.Errorf("listen address %q (--listen, listeners) can be reached from other machines, and the listener has no TLS with authentication: "+
		"use 127.0.0.1, set up both (--tls-cert, --tls-key and --sasl, or the protocol SASL_SSL), or allow it without with --allow-remote (quokka.allow.remote, AllowRemote)", addr)
}

// open opens the listener's socket.
func (l *Listener) open() error {
	if l.Listener == nil {
		var lc net.ListenConfig
		ln, err := lc.Listen(context.Background(), "tcp", l.Listen)
		if errors.Is(err, syscall.EADDRINUSE) {
			return fmt.Errorf("port of %s is taken by another program: stop it, or choose another address with --listen (listeners, Config.Listen): %w", l.Listen, err)
		}
		if err != nil {
			return fmt.Errorf("listening on %s (--listen, listeners): %w", l.Listen, err)
		}
		l.Listener = ln
	}
	return nil
}

// openListeners opens all sockets, or none.
func openListeners(listeners []Listener) error {
	for i := range listeners {
		if err := listeners[i].open(); err != nil {
			for _, opened := range listeners[:i] {
				_ = opened.Listener.Close() // nobody has used it
			}
			return err
		}
	}
	return nil
}

// listenersText writes the listeners as Kafka's setting of that name.
func listenersText(listeners []Listener, addr func(*Listener) string) string {
	var out []string
	for i := range listeners {
		if a := addr(&listeners[i]); a != "" {
			out = append(out, listeners[i].Name+"://"+a)
		}
	}
	return strings.Join(out, ",")
}

// address is the address that clients of a listener are told to use: the
// advertised one, else the one they came by.
func (b *Broker) address(listener string, local net.Addr) (string, int32) {
	addr := local.String()
	for i := range b.listeners {
		if l := &b.listeners[i]; l.Name == listener && l.Advertise != "" {
			addr = l.Advertise
		}
	}
	host, port, err := splitAddr(addr)
	if err != nil { // a listener without ports, in a test
		return addr, 0
	}
	return host, port
}

// report logs where the broker listens, and which settings will have no effect.
func (b *Broker) report() {
	for i := range b.listeners {
		l := &b.listeners[i]
		b.cfg.Logger.Info("listening", "listener", l.Name, "protocol", l.protocol(), "addr", l.Listener.Addr().String(), "advertised", l.Advertise)
		if !l.SASL {
			continue
		}
		o := b.offer(b.cluster.Image(), l)
		if o.passedOver != "" {
			b.cfg.Logger.Error("nobody could log in by the sasl.enabled.mechanisms that was set while the broker ran: it is passed over, set it anew with kafka-configs", "listener", l.Name, "value", o.passedOver, "offered", o.offered)
		}
		missing := slices.DeleteFunc(slices.Clone(o.wanted), func(m string) bool { return slices.Contains(o.offered, m) })
		if len(missing) > 0 {
			b.cfg.Logger.Warn("mechanisms of sasl.enabled.mechanisms are not offered: this broker has SCRAM-SHA-256, SCRAM-SHA-512 and, over TLS or on loopback, PLAIN", "listener", l.Name, "mechanisms", missing)
		}
	}
	var idle []string
	for _, name := range slices.Sorted(maps.Keys(b.cfg.Settings)) {
		if def, _, ok := cluster.FindBrokerConfig(name); ok && !def.HasEffect() {
			idle = append(idle, name)
		}
	}
	if len(idle) > 0 {
		b.cfg.Logger.Info("settings that have no effect here were given; DescribeConfigs says why each has none", "settings", idle)
	}
	b.reportReplicas()
}

// reportReplicas warns of what a server.properties of several brokers asks for: with
// one the broker starts, and then refuses records or topics.
func (b *Broker) reportReplicas() {
	img := b.cluster.Image()
	if n := img.BrokerInt("min.insync.replicas"); n > 1 {
		b.cfg.Logger.Warn("with one broker records for topics without a min.insync.replicas of their own are refused if acks=all (NOT_ENOUGH_REPLICAS): set it to 1", "min.insync.replicas", n)
	}
	if n := img.BrokerInt("default.replication.factor"); n > 1 && !b.cfg.ClampReplicationFactor {
		b.cfg.Logger.Warn("with one broker topics cannot be created unless their creator asks for one replica (INVALID_REPLICATION_FACTOR): set it to 1, or let all have one (--replication-factor-clamp, quokka.replication.factor.clamp)", "default.replication.factor", n)
	}
}

// resolvePatience is how long the check of the advertised addresses may take.
const resolvePatience = 5 * time.Second

// reportUnresolved warns of advertised addresses whose host has no address. It is
// no reason not to start: clients may know a name that this machine does not.
func reportUnresolved(ctx context.Context, listeners []Listener, lookup func(context.Context, string) ([]string, error), log *slog.Logger) {
	ctx, cancel := context.WithTimeout(ctx, resolvePatience)
	defer cancel()
	for i := range listeners {
		l := &listeners[i]
		host, _, err := splitAddr(l.Advertise)
		if err != nil || net.ParseIP(host) != nil {
			continue
		}
		if _, err := lookup(ctx, host); err != nil && ctx.Err() == nil {
			log.Warn("the advertised address does not resolve on this machine: clients are told to connect to it and may fail after their first request; "+
				"advertise a name or an address that every client can reach (--advertise, advertised.listeners)",
				"listener", l.Name, "advertised", l.Advertise, "err", err)
		}
	}
}
