package broker

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/quokka-stream/quokka/broker/internal/cluster"
)

// stores are where a listener's certificates come from, and what it asks of
// clients. Each is a file, or the PEM text itself.
type stores struct {
	chainFile, keyFile, caFile string
	chain, key, ca             string
	clientAuth                 string // required, requested or none
	protocols                  string
}

// storesOf reads them from settings by Kafka's names.
func storesOf(get func(name string) string) stores {
	return stores{
		chainFile: get("ssl.keystore.location"), keyFile: get("ssl.keystore.location"), caFile: get("ssl.truststore.location"),
		chain: get("ssl.keystore.certificate.chain"), key: get("ssl.keystore.key"), ca: get("ssl.truststore.certificates"),
		clientAuth: get("ssl.client.auth"), protocols: get("ssl.enabled.protocols"),
	}
}

// listenerStores are the stores of a listener, as its settings name them.
type listenerStores struct {
	listener string
	sasl     bool
	image    atomic.Pointer[func() *cluster.Image] // nil until the broker is open
	start    stores
}

// of are the stores by the settings in an image.
func (l *listenerStores) of(img *cluster.Image) stores {
	get := func(name string) string { return img.BrokerConfig(cluster.ForListener(l.listener, name)) }
	s := storesOf(get)
	if l.sasl {
		// As in Kafka, a client that logs in is asked for a certificate only where that
		// is said of its listener.
		layers := img.BrokerLayers(cluster.ForListener(l.listener, "ssl.client.auth"))
		if len(layers) == 0 || layers[0].Name == "ssl.client.auth" {
			s.clientAuth = "none"
		}
	}
	return s
}

// mayBecome refuses stores that cannot be used, and those by which a listener that
// other machines reach would be open to them.
func (l *Listener) mayBecome(s stores, allowRemote bool) error {
	cfg, err := s.config()
	if err != nil {
		return err
	}
	next := Listener{TLS: cfg, SASL: l.SASL}
	if err := checkListen(l.Listener.Addr().String(), allowRemote || next.private()); err != nil {
		return fmt.Errorf("ssl.client.auth=%s of listener %s: %w", s.clientAuth, l.Name, err)
	}
	return nil
}

// now are the stores at present.
func (l *listenerStores) now() stores {
	if image := l.image.Load(); image != nil {
		return l.of((*image)())
	}
	return l.start
}

// TLSFiles returns a TLS configuration of files in PEM, which are read again when
// they change: a certificate chain, its key, and, where clients must show a
// certificate, those of the authorities that may have signed it.
func TLSFiles(chain, key, clientCA string) (*tls.Config, error) {
	if chain == "" || key == "" {
		return nil, errors.New("TLS needs both --tls-cert and --tls-key")
	}
	s := stores{chainFile: chain, keyFile: key, caFile: clientCA}
	if clientCA != "" {
		s.clientAuth = "required"
	}
	return tlsOf(func() stores { return s })
}

// tlsOf returns a TLS configuration that follows its stores and their files.
func tlsOf(now func() stores) (*tls.Config, error) {
	r := &reloader{now: now}
	first, err := r.load()
	if err != nil {
		return nil, err
	}
	// What callers may ask of the configuration itself is as at the start.
	out := first.Clone()
	out.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) { return r.load() }
	return out, nil
}

// reloader makes TLS configurations of stores, anew when a file has changed.
type reloader struct {
	now func() stores

	mu     sync.Mutex
	loaded *tls.Config
	stores stores
	stamps [3]time.Time
}

// load returns the present configuration. Files that have changed and cannot be
// used, as in the middle of a renewal, leave the former one in use.
func (r *reloader) load() (*tls.Config, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := r.now()
	var stamps [3]time.Time
	for i, file := range []string{s.chainFile, s.keyFile, s.caFile} {
		if info, err := os.Stat(file); file != "" && err == nil {
			stamps[i] = info.ModTime()
		}
	}
	if r.loaded != nil && stamps == r.stamps && s == r.stores {
		return r.loaded, nil
	}
	cfg, err := s.config()
	if err != nil && r.loaded != nil {
		return r.loaded, nil // the next connection tries again
	}
	if err == nil {
		r.loaded, r.stamps, r.stores = cfg, stamps, s
	}
	return cfg, err
}

// config reads the stores.
func (s stores) config() (*tls.Config, error) {
	chain, err := readPEM(s.chainFile, s.chain, "the certificate (--tls-cert, ssl.keystore.location, ssl.keystore.certificate.chain)")
	if err != nil {
		return nil, err
	}
	key, err := readPEM(s.keyFile, s.key, "the key (--tls-key, ssl.keystore.location, ssl.keystore.key)")
	if err != nil {
		return nil, err
	}
	pair, err := tls.X509KeyPair(chain, key)
	if err != nil {
		return nil, fmt.Errorf("reading the certificate and its key (--tls-cert, --tls-key, ssl.keystore.location): %w", err)
	}
	cfg := &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{pair}}
	if enabled := cluster.SplitList(s.protocols); len(enabled) > 0 {
		switch {
		case !slices.Contains(enabled, "TLSv1.2") && !slices.Contains(enabled, "TLSv1.3"):
			return nil, fmt.Errorf("ssl.enabled.protocols is %s: TLSv1.2 and TLSv1.3 are what there is", s.protocols)
		case !slices.Contains(enabled, "TLSv1.2"):
			cfg.MinVersion = tls.VersionTLS13
		case !slices.Contains(enabled, "TLSv1.3"):
			cfg.MaxVersion = tls.VersionTLS12
		}
	}
	switch s.clientAuth {
	case "required":
		cfg.ClientAuth = tls.RequireAndVerifyClientCert
	case "requested":
		cfg.ClientAuth = tls.VerifyClientCertIfGiven
	default:
		return cfg, nil
	}
	ca, err := readPEM(s.caFile, s.ca, "the clients' CA (--tls-client-ca, ssl.truststore.location, ssl.truststore.certificates)")
	if err != nil {
		return nil, err
	}
	cfg.ClientCAs = x509.NewCertPool()
	if !cfg.ClientCAs.AppendCertsFromPEM(ca) {
		return nil, errors.New("the clients' CA (--tls-client-ca, ssl.truststore.location) has no certificate in PEM")
	}
	return cfg, nil
}

// readPEM returns a text in PEM, given itself or by its file.
func readPEM(file, text, what string) ([]byte, error) {
	if text != "" {
		return []byte(text), nil
	}
	if file == "" {
		return nil, fmt.Errorf("%s is missing", what)
	}
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", what, err)
	}
	if !bytes.Contains(data, []byte("-----BEGIN ")) {
		return nil, fmt.Errorf("%s: %s is not in PEM; convert a PKCS#12 store with: openssl pkcs12 -in %s -out server.pem -nodes "+
			"(a JKS one first with: keytool -importkeystore -srckeystore %s -destkeystore server.p12 -deststoretype PKCS12)", what, file, file, file)
	}
	if bytes.Contains(data, []byte("ENCRYPTED")) && strings.Contains(what, "key") {
		return nil, fmt.Errorf("%s: the key in %s is encrypted; write it in the clear, protected by the file's permissions, with: openssl pkey -in %s -out server.key", what, file, file)
	}
	return data, nil
}
