package conformance

import (
	"context"
	"crypto/tls"
	"encoding/binary"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/sasl"
	"github.com/twmb/franz-go/pkg/sasl/plain"
	"github.com/twmb/franz-go/pkg/sasl/scram"

	"github.com/quokka-stream/quokka/broker"
	"github.com/quokka-stream/quokka/broker/brokertest"
	"github.com/quokka-stream/quokka/broker/internal/record"
	"github.com/quokka-stream/quokka/broker/internal/testcert"
)

func secured(c *broker.Config) {
	c.SASL = true
	c.Users = map[string]string{"admin": "secret", "alice": "wonder"}
	c.SuperUsers = []string{"User:admin"}
}

func client(t *testing.T, addr string, opts ...kgo.Opt) *kgo.Client {
	t.Helper()
	c, err := kgo.NewClient(append([]kgo.Opt{kgo.SeedBrokers(addr), kgo.RequestRetries(0), kgo.DialTimeout(patience), kgo.RequestTimeoutOverhead(patience)}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func TestSASL(t *testing.T) {
	b := start(t, secured)
	login := func(m sasl.Mechanism) error {
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
		defer cancel()
		return client(t, b.Addr(), kgo.SASL(m)).Ping(ctx)
	}
	good, bad := scram.Auth{User: "alice", Pass: "wonder"}, scram.Auth{User: "alice", Pass: "land"}
	for name, c := range map[string]struct {
		m    sasl.Mechanism
		want bool
	}{
		"SCRAM-SHA-256":                {good.AsSha256Mechanism(), true},
		"SCRAM-SHA-512":                {good.AsSha512Mechanism(), true},
		"PLAIN":                        {plain.Auth{User: "alice", Pass: "wonder"}.AsMechanism(), true},
		"SCRAM with a wrong password":  {bad.AsSha256Mechanism(), false},
		"PLAIN with a wrong password":  {plain.Auth{User: "alice", Pass: "land"}.AsMechanism(), false},
		"PLAIN as nobody":              {plain.Auth{User: "eve", Pass: "wonder"}.AsMechanism(), false},
		"PLAIN on behalf of the admin": {plain.Auth{Zid: "admin", User: "alice", Pass: "wonder"}.AsMechanism(), false},
	} {
		if err := login(c.m); (err == nil) != c.want {
			t.Errorf("%s: %v", name, err)
		}
	}
	// A user made and changed by requests, over a restart.
	admin := kadm.NewClient(client(t, b.Addr(), kgo.SASL(plain.Auth{User: "admin", Pass: "secret"}.AsMechanism())))
	if _, err := admin.AlterUserSCRAMs(t.Context(), []kadm.DeleteSCRAM{{User: "alice", Mechanism: kadm.ScramSha512}},
		[]kadm.UpsertSCRAM{{User: "bob", Mechanism: kadm.ScramSha256, Iterations: 4096, Password: "builder"}}); err != nil {
		t.Fatal(err)
	}
	b.Restart()
	if err := login(scram.Auth{User: "bob", Pass: "builder"}.AsSha256Mechanism()); err != nil {
		t.Errorf("a new user: %v", err)
	}
	if err := login(good.AsSha512Mechanism()); err == nil {
		t.Error("a deleted credential still works")
	}
}

// TestBeforeLogin: nothing is answered before a login but what leads to one, and
// frames are small.
func TestBeforeLogin(t *testing.T) {
	b := start(t, secured)
	c := dial(t, b.Addr())
	if r := ask[*kmsg.ApiVersionsResponse](c, 3, apiVersions(3)); r.ErrorCode != 0 {
		t.Fatalf("ApiVersions: %d", r.ErrorCode)
	}
	c.send(kmsg.NewPtrMetadataRequest())
	c.closed()
	large := raw(t, b.Addr(), []byte{0, 1, 0, 1, 0, 36, 0, 0})
	if _, err := large.Read(make([]byte, 1)); err == nil {
		t.Error("a frame over 64 KiB is read before a login")
	}
	c = dial(t, b.Addr())
	handshake := kmsg.NewPtrSASLHandshakeRequest()
	handshake.Mechanism = "GSSAPI"
	if r := ask[*kmsg.SASLHandshakeResponse](c, 1, handshake); r.ErrorCode != 33 || len(r.SupportedMechanisms) != 3 {
		t.Errorf("an unknown mechanism: %+v", r)
	}
	authenticate := kmsg.NewPtrSASLAuthenticateRequest()
	if r := ask[*kmsg.SASLAuthenticateResponse](c, 2, authenticate); r.ErrorCode != 34 {
		t.Errorf("authentication without a handshake: %+v", r)
	}
	handshake.Mechanism = "PLAIN"
	ask[*kmsg.SASLHandshakeResponse](c, 1, handshake)
	authenticate.SASLAuthBytes = []byte("\x00alice\x00land")
	if r := ask[*kmsg.SASLAuthenticateResponse](c, 2, authenticate); r.ErrorCode != 58 {
		t.Errorf("a wrong password: %+v", r)
	}
	c.closed()
}

// TestRawSASL: a client of the first days sends its message bare after a handshake
// of version 0.
func TestRawSASL(t *testing.T) {
	b := start(t, secured)
	c := dial(t, b.Addr())
	handshake := kmsg.NewPtrSASLHandshakeRequest()
	handshake.Mechanism = "PLAIN"
	ask[*kmsg.SASLHandshakeResponse](c, 0, handshake)
	message := "\x00alice\x00wonder"
	if _, err := c.nc.Write(append(binary.BigEndian.AppendUint32(nil, uint32(len(message))), message...)); err != nil {
		t.Fatal(err)
	}
	if answer, err := c.frame(); err != nil || len(answer) != 0 {
		t.Fatalf("%q, %v", answer, err)
	}
	if r := metadata(c, 9, false, "t"); len(r.Brokers) != 1 {
		t.Errorf("%+v", r)
	}
}

// loggedIn returns a connection of a user.
func loggedIn(t testing.TB, addr, user, password string) *conn {
	t.Helper()
	c := dial(t, addr)
	handshake := kmsg.NewPtrSASLHandshakeRequest()
	handshake.Mechanism = "PLAIN"
	ask[*kmsg.SASLHandshakeResponse](c, 1, handshake)
	authenticate := kmsg.NewPtrSASLAuthenticateRequest()
	authenticate.SASLAuthBytes = []byte("\x00" + user + "\x00" + password)
	if r := ask[*kmsg.SASLAuthenticateResponse](c, 2, authenticate); r.ErrorCode != 0 {
		t.Fatalf("login: %+v", r)
	}
	return c
}

func TestACLRequests(t *testing.T) {
	open := dial(t, start(t).Addr())
	describe := kmsg.NewPtrDescribeACLsRequest()
	describe.ResourceType, describe.ResourcePatternType, describe.Operation, describe.PermissionType = 1, 1, 1, 1
	expect(t, "without authorization", ask[*kmsg.DescribeACLsResponse](open, 3, describe).ErrorCode, 54)

	b := start(t, secured)
	admin := kadm.NewClient(client(t, b.Addr(), kgo.RequestRetries(5), kgo.SASL(plain.Auth{User: "admin", Pass: "secret"}.AsMechanism())))
	ctx := t.Context()
	root := loggedIn(t, b.Addr(), "admin", "secret")
	root.create("t", 1)
	root.create("u", 1)
	build := kadm.NewACLs().Topics("t").Groups("g").ResourcePatternType(kadm.ACLPatternLiteral).Operations(kadm.OpRead, kadm.OpWrite).Allow("User:alice").AllowHosts()
	if _, err := admin.CreateACLs(ctx, build); err != nil {
		t.Fatal(err)
	}
	for range 2 { // and after a restart
		alice := loggedIn(t, b.Addr(), "alice", "wonder")
		if p := alice.produce("t", batch(record.Options{}, "x")); p.ErrorCode != 0 {
			t.Errorf("an allowed topic: %+v", p)
		}
		if p := alice.produce("u", batch(record.Options{}, "x")); p.ErrorCode != 29 {
			t.Errorf("another topic: %+v", p)
		}
		if r := metadata(alice, 9, false); len(r.Topics) != 1 || *r.Topics[0].Topic != "t" {
			t.Errorf("alice sees %+v", r.Topics)
		}
		// Who may write to some topic may be an idempotent producer.
		expect(t, "init", ask[*kmsg.InitProducerIDResponse](alice, 4, kmsg.NewPtrInitProducerIDRequest()).ErrorCode, 0)
		got, err := admin.DescribeACLs(ctx, kadm.NewACLs().AnyResource().ResourcePatternType(kadm.ACLPatternAny).Operations(kadm.OpAny).Allow().AllowHosts().Deny().DenyHosts())
		if err != nil {
			t.Fatal(err)
		}
		n := 0
		for _, r := range got {
			n += len(r.Described)
		}
		if n != 4 {
			t.Errorf("described are %d rules", n)
		}
		b.Restart()
	}
	if _, err := admin.DeleteACLs(ctx, build); err != nil {
		t.Fatal(err)
	}
	alice := loggedIn(t, b.Addr(), "alice", "wonder")
	if p := alice.produce("u", batch(record.Options{}, "x")); p.ErrorCode != 0 {
		t.Errorf("without any rule: %+v", p)
	}
}

// TestTLS: an encrypted listener, and clients that are who their certificates say.
func TestTLS(t *testing.T) {
	ca := testcert.New(t, "ca", nil)
	pool := testcert.Pool(ca)
	server, alice := testcert.New(t, "server", &ca), testcert.New(t, "alice", &ca)
	stranger := testcert.New(t, "stranger", nil)
	b := brokertest.Start(t, func(c *broker.Config) {
		c.TLS = &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{server}, ClientCAs: pool, ClientAuth: tls.RequireAndVerifyClientCert}
		c.SuperUsers = []string{"User:CN=alice,O=Quokka"}
	})
	ping := func(certs ...tls.Certificate) (*kgo.Client, error) {
		c := client(t, b.Addr(), kgo.DialTLSConfig(&tls.Config{MinVersion: tls.VersionTLS12, RootCAs: pool, Certificates: certs}))
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
		defer cancel()
		return c, c.Ping(ctx)
	}
	c, err := ping(alice)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.ProduceSync(t.Context(), &kgo.Record{Topic: "t"}).FirstErr(); err == nil {
		t.Error("a topic that was not created")
	}
	if _, err := kadm.NewClient(c).CreateACLs(t.Context(), kadm.NewACLs().Topics("t").ResourcePatternType(kadm.ACLPatternLiteral).Operations(kadm.OpRead).Allow("User:x").AllowHosts()); err != nil {
		t.Errorf("the super user by certificate: %v", err)
	}
	if _, err := ping(); err == nil {
		t.Error("without a certificate")
	}
	if _, err := ping(stranger); err == nil {
		t.Error("with a stranger's certificate")
	}
	plaintext := dial(t, b.Addr())
	plaintext.send(apiVersions(3))
	buf := make([]byte, 100)
	if n, err := plaintext.nc.Read(buf); err == nil && buf[0] != 0x15 { // a TLS alert
		t.Errorf("plain text is answered: %x", buf[:n])
	}
}
