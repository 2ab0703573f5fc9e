package conformance

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/binary"
	"math/big"
	"net"
	"reflect"
	"strings"
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
)

func secured(c *broker.Config) {
	c.SASL = true
	c.Users = map[string]string{"admin": "secret", "alice": "wonder"}
	c.SuperUsers = []string{"User:admin"}
}

func client(t *testing.T, addr string, opts ...kgo.Opt) *kgo.Client {
	t.Helper()
	c, err := kgo.NewClient(append([]kgo.Opt{kgo.SeedBrokers(addr), kgo.RequestRetries(0), kgo.RetryTimeout(time.Second)}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func TestSASL(t *testing.T) {
	b := start(t, secured)
	login := func(m sasl.Mechanism) error {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
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

// point sets every field of a request so that it is about topic t, group g and
// transactional id x.
func point(v reflect.Value, name string) {
	switch v.Kind() {
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		point(v.Elem(), name)
	case reflect.Struct:
		if v.Type() == reflect.TypeFor[kmsg.Tags]() {
			return
		}
		for i := range v.NumField() {
			if f := v.Field(i); f.CanSet() && v.Type().Field(i).Name != "Version" {
				point(f, v.Type().Field(i).Name)
			}
		}
	case reflect.Slice:
		if v.Type().Elem().Kind() != reflect.Uint8 {
			v.Set(reflect.MakeSlice(v.Type(), 1, 1))
			point(v.Index(0), name)
		}
	case reflect.String:
		switch {
		case strings.Contains(name, "Group") || name == "CoordinatorKey" || name == "CoordinatorKeys":
			v.SetString("g")
		case strings.Contains(name, "Transactional") || name == "TransactionID":
			v.SetString("x")
		case strings.Contains(name, "Topic") || name == "ResourceName":
			v.SetString("t")
		case name == "Principal":
			v.SetString("User:mallory")
		default:
			v.SetString("range")
		}
	case reflect.Int8:
		switch name {
		case "ResourceType":
			v.SetInt(2)
		case "Operation", "PermissionType", "ResourcePatternType":
			v.SetInt(3)
		}
	case reflect.Int32:
		if strings.Contains(name, "Timeout") {
			v.SetInt(10000)
		}
	}
}

// codes collects the error codes in a response.
func codes(v reflect.Value, out map[int16]bool) {
	switch v.Kind() {
	case reflect.Pointer:
		if !v.IsNil() {
			codes(v.Elem(), out)
		}
	case reflect.Struct:
		for i := range v.NumField() {
			if v.Type().Field(i).Name == "ErrorCode" {
				out[int16(v.Field(i).Int())] = true
			} else if v.Type().Field(i).IsExported() {
				codes(v.Field(i), out)
			}
		}
	case reflect.Slice:
		for i := range v.Len() {
			codes(v.Index(i), out)
		}
	}
}

// TestNoRights: every request in every version, from a user who may do nothing, is
// refused by an authorization code, or shows nothing.
func TestNoRights(t *testing.T) {
	b := start(t, secured)
	root := loggedIn(t, b.Addr(), "admin", "secret")
	id := root.create("t", 1)
	root.produce("t", batch(record.Options{}, "secret"))
	root.join("g", "connect")
	p := &producer{conn: root, id: "x"}
	expect(t, "init", p.init(time.Minute), 0)
	acl := kmsg.NewPtrCreateACLsRequest()
	acl.Creations = []kmsg.CreateACLsRequestCreation{{ResourceType: 2, ResourceName: "other", ResourcePatternType: 3, Principal: "User:bob", Host: "*", Operation: 3, PermissionType: 3}}
	expect(t, "the first rule", ask[*kmsg.CreateACLsResponse](root, 3, acl).Results[0].ErrorCode, 0)
	c := loggedIn(t, b.Addr(), "alice", "wonder")
	shows := map[int16]string{ // nothing to refuse: the answer leaves out what may not be seen
		16: "ListGroups", 17: "SASLHandshake", 18: "ApiVersions", 36: "SASLAuthenticate", 60: "DescribeCluster", 66: "ListTransactions",
	}
	refusals := map[int16]bool{29: true, 30: true, 31: true, 53: true}
	for _, k := range ask[*kmsg.ApiVersionsResponse](c, 3, apiVersions(3)).ApiKeys {
		for v := max(k.MinVersion, map[int16]int16{0: 3}[k.ApiKey]); v <= k.MaxVersion; v++ {
			req := kmsg.RequestForKey(k.ApiKey)
			point(reflect.ValueOf(req).Elem(), "")
			req.SetVersion(v)
			switch r := req.(type) {
			case *kmsg.ApiVersionsRequest, *kmsg.SASLHandshakeRequest, *kmsg.SASLAuthenticateRequest:
				continue
			case *kmsg.ProduceRequest:
				r.Acks, r.TransactionID = -1, nil
				r.Topics[0].Partitions[0].Records = batch(record.Options{}, "x")
				r.Topics[0].TopicID = id
			case *kmsg.FetchRequest:
				r.SessionEpoch, r.ReplicaID, r.ReplicaState.ID, r.Topics[0].TopicID, r.IsolationLevel = -1, -1, -1, id, 0
			case *kmsg.ListGroupsRequest:
				r.StatesFilter, r.TypesFilter = nil, nil
			case *kmsg.ListTransactionsRequest:
				r.StateFilters, r.ProducerIDFilters, r.DurationFilterMillis, r.TransactionalIDPattern = nil, nil, -1, nil
			case *kmsg.OffsetCommitRequest:
				r.Topics[0].TopicID = id
			case *kmsg.TxnOffsetCommitRequest:
				r.Topics[0].TopicID = id
			case *kmsg.InitProducerIDRequest:
				r.ProducerID, r.ProducerEpoch = -1, -1
			case *kmsg.DeleteTopicsRequest:
				r.TopicNames = []string{"t"}
			}
			resp := c.receive(req, c.send(req))
			got := map[int16]bool{}
			codes(reflect.ValueOf(resp), got)
			if _, ok := shows[k.ApiKey]; ok {
				switch r := resp.(type) {
				case *kmsg.ListGroupsResponse:
					if len(r.Groups) > 0 {
						t.Errorf("ListGroups v%d shows %+v", v, r.Groups)
					}
				case *kmsg.ListTransactionsResponse:
					if len(r.TransactionStates) > 0 {
						t.Errorf("ListTransactions v%d shows %+v", v, r.TransactionStates)
					}
				}
				continue
			}
			refused := false
			for code := range got {
				refused = refused || refusals[code]
			}
			// A topic named by an id that its principal may not see is unknown to it.
			if m, ok := resp.(*kmsg.MetadataResponse); ok && len(m.Topics) == 1 && m.Topics[0].ErrorCode == 100 {
				refused = true
			}
			if d, ok := resp.(*kmsg.DescribeLogDirsResponse); ok && v < 3 && len(d.Dirs) == 0 {
				refused = true // there is no place for a code
			}
			if !refused {
				t.Errorf("%s v%d: codes %v, %+v", kmsg.NameForKey(k.ApiKey), v, got, resp)
			}
		}
	}
	// What is refused has not happened.
	if l := values(t, fetchOne(root, 11, fetchRequest("t", 0)).RecordBatches); len(l) != 1 {
		t.Errorf("the topic has %q", l)
	}
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

// certificate makes a certificate signed by a parent, or by itself.
func certificate(t *testing.T, name string, ca *tls.Certificate) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name, Organization: []string{"Quokka"}},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: ca == nil, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	parent, signer := tmpl, any(key)
	if ca != nil {
		parent, signer = ca.Leaf, ca.PrivateKey
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, parent, &key.PublicKey, signer)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}
}

// TestTLS: an encrypted listener, and clients that are who their certificates say.
func TestTLS(t *testing.T) {
	ca := certificate(t, "ca", nil)
	pool := x509.NewCertPool()
	pool.AddCert(ca.Leaf)
	server, alice := certificate(t, "server", &ca), certificate(t, "alice", &ca)
	stranger := certificate(t, "stranger", nil)
	b := brokertest.Start(t, func(c *broker.Config) {
		c.TLS = &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{server}, ClientCAs: pool, ClientAuth: tls.RequireAndVerifyClientCert}
		c.SuperUsers = []string{"User:CN=alice,O=Quokka"}
	})
	ping := func(certs ...tls.Certificate) (*kgo.Client, error) {
		c := client(t, b.Addr(), kgo.DialTLSConfig(&tls.Config{MinVersion: tls.VersionTLS12, RootCAs: pool, Certificates: certs}))
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
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
