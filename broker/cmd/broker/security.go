package main

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"time"
)

// readUsers reads a file of lines name:password; empty lines and lines that begin
// with # are passed over. No file means no users.
func readUsers(file string) (map[string]string, error) {
	if file == "" {
		return nil, nil
	}
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("reading users (--users-file): %w", err)
	}
	users := map[string]string{}
	n := 0
	for line := range strings.Lines(string(data)) {
		n++
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		name, password, ok := strings.Cut(line, ":")
		if !ok || name == "" || password == "" {
			return nil, fmt.Errorf("%s (--users-file), line %d: a line is name:password", file, n)
		}
		users[name] = password
	}
	return users, nil
}

// tlsFiles are the files of the listener's TLS.
type tlsFiles struct {
	cert, key, clientCA string

	mu     sync.Mutex
	loaded *tls.Certificate
	stamp  time.Time
}

// config returns the TLS configuration, nil when no file was given.
func (f *tlsFiles) config() (*tls.Config, error) {
	if f.cert == "" && f.key == "" && f.clientCA == "" {
		return nil, nil
	}
	if f.cert == "" || f.key == "" {
		return nil, errors.New("TLS needs both --tls-cert and --tls-key")
	}
	if _, err := f.certificate(nil); err != nil {
		return nil, err
	}
	cfg := &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: f.certificate}
	if f.clientCA != "" {
		pem, err := os.ReadFile(f.clientCA)
		if err != nil {
			return nil, fmt.Errorf("reading the clients' CA (--tls-client-ca): %w", err)
		}
		cfg.ClientCAs = x509.NewCertPool()
		if !cfg.ClientCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("%s (--tls-client-ca) has no certificate in PEM", f.clientCA)
		}
		cfg.ClientAuth = tls.RequireAndVerifyClientCert
	}
	return cfg, nil
}

// certificate returns the certificate, read again when its file has changed. A
// new one that cannot be read leaves the old one in use.
func (f *tlsFiles) certificate(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	info, err := os.Stat(f.cert)
	if err == nil && f.loaded != nil && info.ModTime().Equal(f.stamp) {
		return f.loaded, nil
	}
	var c tls.Certificate
	if err == nil {
		c, err = tls.LoadX509KeyPair(f.cert, f.key)
	}
	if err != nil {
		if f.loaded != nil {
			return f.loaded, nil // a renewal half done: the next connection tries again
		}
		return nil, fmt.Errorf("reading the certificate (--tls-cert, --tls-key): %w", err)
	}
	f.loaded, f.stamp = &c, info.ModTime()
	return f.loaded, nil
}
