package conformance

import (
	"crypto/tls"
	"crypto/x509"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/sasl/plain"
	"github.com/twmb/franz-go/pkg/sasl/scram"

	"github.com/quokka-stream/quokka/broker"
	"github.com/quokka-stream/quokka/broker/brokertest"
	"github.com/quokka-stream/quokka/broker/internal/testcert"
)

// pemOf writes a certificate with its key, or without, as a file in PEM.
func pemOf(t *testing.T, file string, c tls.Certificate, withKey bool) string {
	t.Helper()
	text, key := testcert.PEM(t, c)
	if withKey {
		text += key
	}
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// pki is an authority with its files.
type pki struct {
	ca           tls.Certificate
	pool         *x509.CertPool
	keys, trust  string
	alice, nobdy tls.Certificate
}

func newPKI(t *testing.T) *pki {
	t.Helper()
	dir := t.TempDir()
	p := &pki{ca: testcert.New(t, "ca", nil)}
	p.pool = testcert.Pool(p.ca)
	p.keys = pemOf(t, filepath.Join(dir, "server.pem"), testcert.New(t, "server", &p.ca), true)
	p.trust = pemOf(t, filepath.Join(dir, "ca.pem"), p.ca, false)
	p.alice, p.nobdy = testcert.New(t, "alice", &p.ca), testcert.New(t, "nobody", &p.ca)
	return p
}

func (p *pki) dial(certs ...tls.Certificate) kgo.Opt {
	return kgo.DialTLSConfig(&tls.Config{MinVersion: tls.VersionTLS12, RootCAs: p.pool, Certificates: certs})
}

// told asks everything that tells a client an address.
func told(t *testing.T, c *kgo.Client, wantHost string, wantPort int32) {
	t.Helper()
	is := func(what, host string, port int32) {
		t.Helper()
		if host != wantHost || port != wantPort {
			t.Errorf("%s tells %s:%d, not %s:%d", what, host, port, wantHost, wantPort)
		}
	}
	meta, err := kmsg.NewPtrMetadataRequest().RequestWith(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	is("Metadata", meta.Brokers[0].Host, meta.Brokers[0].Port)
	// Asked by way of the seed: what is told may be no address of this machine.
	seed := c.SeedBrokers()[0]
	ask := func(req kmsg.Request) kmsg.Response {
		t.Helper()
		resp, err := seed.Request(t.Context(), req)
		if err != nil {
			t.Fatal(err)
		}
		return resp
	}
	cluster := ask(kmsg.NewPtrDescribeClusterRequest()).(*kmsg.DescribeClusterResponse)
	is("DescribeCluster", cluster.Brokers[0].Host, cluster.Brokers[0].Port)
	find := kmsg.NewPtrFindCoordinatorRequest()
	find.CoordinatorKey, find.CoordinatorKeys = "g", []string{"g"}
	found := ask(find).(*kmsg.FindCoordinatorResponse)
	is("FindCoordinator", found.Coordinators[0].Host, found.Coordinators[0].Port)
}

// TestListeners: two listeners by Kafka's settings, one inside without protection,
// one outside with TLS and logins. Each tells its own address and has its own
// security, and the broker opens none for controllers.
func TestListeners(t *testing.T) {
	p := newPKI(t)
	b := start(t, func(c *broker.Config) {
		c.Settings = map[string]string{
			"listeners":                                     "INTERNAL://127.0.0.1:0,external://127.0.0.1:0,CONTROLLER://127.0.0.1:1",
			"advertised.listeners":                          "EXTERNAL://kafka.example.test:9443",
			"listener.security.protocol.map":                "INTERNAL:PLAINTEXT,EXTERNAL:SASL_SSL,CONTROLLER:PLAINTEXT",
			"controller.listener.names":                     "CONTROLLER",
			"listener.name.external.ssl.keystore.location":  p.keys,
			"listener.name.external.plain.sasl.jaas.config": `org.apache.kafka.common.security.plain.PlainLoginModule required username="b" user_alice="wonder" user_bob="builder";`,
			"super.users":                                   "User:ANONYMOUS;User:bob",
		}
	})
	internal, external := b.Unwrap().ListenerAddr("INTERNAL"), b.Unwrap().ListenerAddr("EXTERNAL")
	if internal != b.Addr() || external == "" || b.Unwrap().ListenerAddr("CONTROLLER") != "" {
		t.Fatalf("the listeners are at %q and %q, Addr is %q", internal, external, b.Addr())
	}
	told(t, client(t, internal), "127.0.0.1", int32(portOf(t, internal)))
	told(t, client(t, external, p.dial(), kgo.SASL(plain.Auth{User: "bob", Pass: "builder"}.AsMechanism())), "kafka.example.test", 9443)
	for what, opts := range map[string][]kgo.Opt{
		"plain text outside":        {},
		"no login outside":          {p.dial()},
		"a wrong password outside":  {p.dial(), kgo.SASL(plain.Auth{User: "bob", Pass: "wonder"}.AsMechanism())},
		"a wrong password by SCRAM": {p.dial(), kgo.SASL(scram.Auth{User: "bob", Pass: "wonder"}.AsSha256Mechanism())},
	} {
		if err := client(t, external, opts...).Ping(t.Context()); err == nil {
			t.Errorf("%s is let in", what)
		}
	}
	if err := client(t, external, p.dial(), kgo.SASL(scram.Auth{User: "alice", Pass: "wonder"}.AsSha512Mechanism())).Ping(t.Context()); err != nil {
		t.Errorf("SCRAM outside: %v", err)
	}
	c := dial(t, internal)
	for name, want := range map[string]string{
		"listeners":                      "INTERNAL://" + internal + ",EXTERNAL://" + external,
		"advertised.listeners":           "EXTERNAL://kafka.example.test:9443",
		"listener.security.protocol.map": "INTERNAL:PLAINTEXT,EXTERNAL:SASL_SSL",
	} {
		if cfg := c.brokerConfig("1", name); cfg == nil || *cfg.Value != want {
			t.Errorf("%s is described as %+v", name, cfg)
		}
	}
	// The mechanisms of one listener can be changed while it runs.
	if code, _ := c.alterBroker("1", "listener.name.external.sasl.enabled.mechanisms", "GSSAPI"); code == 0 {
		t.Error("a listener may be left without any mechanism")
	}
	if code, message := c.alterBroker("1", "listener.name.external.sasl.enabled.mechanisms", "SCRAM-SHA-512,GSSAPI"); code != 0 {
		t.Fatal(code, message)
	}
	if err := client(t, external, p.dial(), kgo.SASL(plain.Auth{User: "bob", Pass: "builder"}.AsMechanism())).Ping(t.Context()); err == nil {
		t.Error("PLAIN, which is no longer on offer")
	}
}

func portOf(t *testing.T, addr string) int {
	t.Helper()
	a, err := net.ResolveTCPAddr("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	return a.Port
}

// TestListenerFields: the same by the fields of Config, with listeners that the
// caller has opened.
func TestListenerFields(t *testing.T) {
	var lc net.ListenConfig
	listen := func() net.Listener {
		ln, err := lc.Listen(t.Context(), "tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		return ln
	}
	a, z := listen(), listen()
	b := start(t, func(c *broker.Config) {
		c.Listeners = []broker.Listener{{Name: "A", Listener: a, Advertise: "a.example.test:1"}, {Name: "Z", Listener: z, SASL: true}}
		c.Users = map[string]string{"alice": "wonder"}
	})
	told(t, client(t, a.Addr().String()), "a.example.test", 1)
	told(t, client(t, z.Addr().String(), kgo.SASL(plain.Auth{User: "alice", Pass: "wonder"}.AsMechanism())), "127.0.0.1", int32(portOf(t, z.Addr().String())))
	if b.Unwrap().ListenerAddr("Z") != z.Addr().String() {
		t.Error("the listener is not the one given")
	}
}

// TestMutualTLS: clients are who their certificates say, by the rules for it; the
// certificates and what is asked of clients follow changes while the broker runs.
func TestMutualTLS(t *testing.T) {
	p := newPKI(t)
	b := start(t, func(c *broker.Config) {
		c.Settings = map[string]string{
			"listeners":             "SSL://127.0.0.1:0,PLAINTEXT://127.0.0.1:0",
			"ssl.keystore.location": p.keys, "ssl.truststore.location": p.trust, "ssl.client.auth": "required",
			"ssl.principal.mapping.rules": `RULE:^CN=(ali.*?),O=.*$/$1@quokka/U,RULE:^CN=zoe.*$/zoe/`,
			"super.users":                 "User:ALICE@QUOKKA",
		}
	})
	addr, inside := b.Addr(), dial(t, b.Unwrap().ListenerAddr("PLAINTEXT"))
	ping := func(certs ...tls.Certificate) error {
		return client(t, addr, p.dial(certs...)).Ping(t.Context())
	}
	// The first rule makes alice a super user, who may make the rule by which the
	// others may do nothing.
	admin := kadm.NewClient(client(t, addr, p.dial(p.alice)))
	if _, err := admin.CreateACLs(t.Context(), kadm.NewACLs().Topics("t").ResourcePatternType(kadm.ACLPatternLiteral).Operations(kadm.OpRead).Allow("User:x").AllowHosts()); err != nil {
		t.Fatalf("the principal of the certificate: %v", err)
	}
	if _, err := admin.CreateTopic(t.Context(), 1, 1, nil, "t"); err != nil {
		t.Errorf("a super user: %v", err)
	}
	if err := ping(); err == nil {
		t.Error("without a certificate")
	}
	if err := ping(p.nobdy); err == nil {
		t.Error("a certificate that no rule knows")
	}
	if code, _ := inside.alterBroker("1", "listener.name.ssl.ssl.client.auth", "none"); code != 31 {
		t.Errorf("who is not allowed changes the listener: %d", code)
	}
	set := func(name, value string, refused string) {
		t.Helper()
		resp, err := admin.AlterBrokerConfigs(t.Context(), []kadm.AlterConfig{{Name: name, Value: &value}}, 1)
		if err != nil {
			t.Fatal(err)
		}
		switch r := resp[0]; {
		case refused == "" && r.Err != nil:
			t.Fatalf("%s=%s: %v %s", name, value, r.Err, r.ErrMessage)
		case refused != "" && (r.Err == nil || !strings.Contains(r.ErrMessage, refused)):
			t.Errorf("%s=%s: %v %s", name, value, r.Err, r.ErrMessage)
		}
	}
	set("listener.name.ssl.ssl.client.auth", "requested", "")
	if err := ping(); err != nil {
		t.Errorf("a certificate is only requested: %v", err)
	}
	set("listener.name.ssl.ssl.client.auth", "required", "")
	if err := ping(); err == nil {
		t.Error("a certificate is required again")
	}
	set("listener.name.ssl.ssl.keystore.location", filepath.Join(t.TempDir(), "none.pem"), "no such file")

	subject := func() string {
		t.Helper()
		d := tls.Dialer{Config: &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: p.pool, Certificates: []tls.Certificate{p.alice}}}
		nc, err := d.DialContext(t.Context(), "tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		defer nc.Close()
		return nc.(*tls.Conn).ConnectionState().PeerCertificates[0].Subject.CommonName
	}
	other := pemOf(t, filepath.Join(t.TempDir(), "other.pem"), testcert.New(t, "other", &p.ca), true)
	set("listener.name.ssl.ssl.keystore.location", other, "")
	if got := subject(); got != "other" {
		t.Errorf("after a change of the store the broker shows %s", got)
	}
	renewed := pemOf(t, other, testcert.New(t, "renewed", &p.ca), true)
	if err := os.Chtimes(renewed, time.Now(), time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	if got := subject(); got != "renewed" {
		t.Errorf("after a change of the file the broker shows %s", got)
	}
	if err := os.WriteFile(other, []byte("half written"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := subject(); got != "renewed" {
		t.Errorf("with a file half written the broker shows %s", got)
	}
}

// TestAuthorizer: with authorizer.class.name nobody may do anything before the
// first rule but super users, as in Apache Kafka; without it everybody may.
func TestAuthorizer(t *testing.T) {
	const class = "org.apache.kafka.metadata.authorizer.StandardAuthorizer"
	for _, x := range []struct {
		class, everyone string
		want            int16
	}{{"", "", 0}, {class, "", 29}, {class, "true", 0}, {class, "false", 29}} {
		b := brokertest.Start(t, secured, func(c *broker.Config) {
			c.Settings = map[string]string{"authorizer.class.name": x.class}
			if x.everyone != "" {
				c.Settings["allow.everyone.if.no.acl.found"] = x.everyone
			}
		})
		loggedIn(t, b.Addr(), "admin", "secret").create("t", 1)
		alice := loggedIn(t, b.Addr(), "alice", "wonder")
		expect(t, x.class+" "+x.everyone, metadata(alice, 9, false, "t").Topics[0].ErrorCode, x.want)
	}
}
