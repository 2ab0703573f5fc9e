package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"embed"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"
)

//go:embed clients
var clients embed.FS

// module makes a module in the cache that requires one version of another, and
// returns its folder.
func (b *bench) module(ctx context.Context, name, path, version, source string) (string, error) {
	dir := filepath.Join(b.cache, name)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", err
	}
	for file, text := range map[string]string{"go.mod": "module conformance\n\ngo 1.26\n", "main.go": source} {
		if err := os.WriteFile(filepath.Join(dir, file), []byte(text), 0o600); err != nil {
			return "", err
		}
	}
	for _, args := range [][]string{{"get", "-t", path + "@" + version}, {"mod", "tidy"}} {
		if out, err := goIn(ctx, dir, args...).CombinedOutput(); err != nil {
			return "", notRun(fmt.Sprintf("go %s: %s", strings.Join(args, " "), lastLine(string(out))))
		}
	}
	return dir, nil
}

func goIn(ctx context.Context, dir string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Dir, cmd.Env = dir, append(os.Environ(), "GOWORK=off", "GOFLAGS=-mod=mod")
	return cmd
}

// testBinary compiles the tests of a package where the module cache has them.
func (b *bench) testBinary(ctx context.Context, name, module, pkg, version string, flags ...string) (binary, dir string, err error) {
	source := "//go:build tools\n\npackage main\n\nimport _ \"" + pkg + "\"\n"
	at, err := b.module(ctx, name, module, version, source)
	if err != nil {
		return "", "", err
	}
	binary = filepath.Join(at, "suite.test")
	args := append(append([]string{"test", "-c", "-o", binary}, flags...), pkg)
	if out, err := goIn(ctx, at, args...).CombinedOutput(); err != nil {
		return "", "", fmt.Errorf("compiling the tests of %s: %w: %s", pkg, err, out)
	}
	out, err := goIn(ctx, at, "list", "-f", "{{.Dir}}", pkg).Output()
	return binary, strings.TrimSpace(string(out)), err
}

var outcome = regexp.MustCompile(`^(\s*)--- (PASS|FAIL|SKIP): (\S+)`)

// tests runs a test binary in its folder and counts its outcomes, those of
// subtests too. What a suite with failures printed is kept beside its binary.
func (r *result) tests(ctx context.Context, binary, dir string, left leftOut, env []string, args ...string) error {
	all, err := declared(dir)
	if err != nil {
		return err
	}
	defer r.hold(left, all)
	args = append([]string{"-test.v", "-test.timeout", "19m", "-test.skip", left.pattern()}, args...)
	cmd := exec.CommandContext(ctx, binary, args...)
	cmd.Dir, cmd.Env = dir, append(os.Environ(), env...)
	out, err := cmd.CombinedOutput()
	if err != nil { // what failed says why in here
		_ = os.WriteFile(filepath.Join(filepath.Dir(binary), r.suite.name+".log"), out, 0o600) // only a help
	}
	failed := len(r.failures)
	for sc := bufio.NewScanner(bytes.NewReader(out)); sc.Scan(); {
		m := outcome.FindStringSubmatch(sc.Text())
		switch {
		case m == nil:
			if strings.HasPrefix(sc.Text(), "panic: ") {
				r.failures = append(r.failures, sc.Text())
			}
		case m[2] == "PASS":
			r.passed++
		case m[2] == "FAIL":
			r.failures = append(r.failures, m[3])
		default:
			r.skipped++
		}
	}
	if err != nil && len(r.failures) == failed {
		return fmt.Errorf("%w: %s", err, lastLine(string(out)))
	}
	return nil
}

const franz = "github.com/twmb/franz-go"

// franzGo runs franz-go's tests, with more in the environment.
func franzGo(name string, records int, env ...string) func(context.Context, *bench, *result) error {
	return func(ctx context.Context, b *bench, r *result) error {
		binary, dir, err := b.testBinary(ctx, "kgo", franz, franz+"/pkg/kgo", r.suite.version)
		if err != nil {
			return err
		}
		addr, _, stop, err := b.start(ctx, "127.0.0.1:0")
		if err != nil {
			return err
		}
		defer stop()
		if records == 0 {
			records = b.records
		}
		env := append([]string{"KGO_SEEDS=" + addr, "KGO_TEST_RF=1", "KGO_LOG_LEVEL=none", "KGO_TEST_RECORDS=" + strconv.Itoa(records)}, env...)
		return r.tests(ctx, binary, dir, r.leave(name), env)
	}
}

// franzTLS runs the same tests over TLS.
func franzTLS(ctx context.Context, b *bench, r *result) error {
	binary, dir, err := b.testBinary(ctx, "kgo", franz, franz+"/pkg/kgo", r.suite.version)
	if err != nil {
		return err
	}
	cert, key, err := b.certificate()
	if err != nil {
		return err
	}
	addr, _, stop, err := b.start(ctx, "127.0.0.1:0", "--tls-cert", cert, "--tls-key", key)
	if err != nil {
		return err
	}
	defer stop()
	return r.tests(ctx, binary, dir, r.leave("kgo-tls"), []string{"KGO_SEEDS=" + addr, "KGO_TEST_RF=1", "KGO_LOG_LEVEL=none", "KGO_TEST_RECORDS=50000", "KGO_TEST_TLS=ca:" + cert})
}

// franzSCRAM runs the tests of logins.
func franzSCRAM(ctx context.Context, b *bench, r *result) error {
	binary, dir, err := b.testBinary(ctx, "kgo", franz, franz+"/pkg/kgo", r.suite.version)
	if err != nil {
		return err
	}
	users := filepath.Join(b.cache, "users")
	if err := os.WriteFile(users, []byte("alice:secret\n"), 0o600); err != nil {
		return err
	}
	addr, _, stop, err := b.start(ctx, "127.0.0.1:0", "--sasl", "--users-file", users)
	if err != nil {
		return err
	}
	defer stop()
	for _, user := range []string{"alice:secret", "alice:secret:512"} {
		env := []string{"KGO_SEEDS=" + addr, "KGO_TEST_RF=1", "KGO_LOG_LEVEL=none", "KGO_TEST_SCRAM=" + user, "KGO_TEST_SCRAM_SEEDS=" + addr}
		if err := r.tests(ctx, binary, dir, nil, env, "-test.run", "TestSCRAM"); err != nil {
			return err
		}
	}
	return nil
}

// certificate writes a certificate for loopback that signs itself.
func (b *bench) certificate() (certFile, keyFile string, err error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return "", "", err
	}
	t := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "conformance"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, DNSNames: []string{"localhost"},
	}
	der, err := x509.CreateCertificate(rand.Reader, t, t, key.Public(), key)
	if err != nil {
		return "", "", err
	}
	private, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		return "", "", err
	}
	certFile, keyFile = filepath.Join(b.cache, "cert.pem"), filepath.Join(b.cache, "key.pem")
	if err := os.WriteFile(certFile, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600); err != nil {
		return "", "", err
	}
	return certFile, keyFile, os.WriteFile(keyFile, pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: private}), 0o600)
}

const kafkaGoModule = "github.com/segmentio/kafka-go"

// kafkaGo runs segmentio/kafka-go's tests, which look for the broker on port 9092.
func kafkaGo(ctx context.Context, b *bench, r *result) error {
	const addr = "127.0.0.1:9092"
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", addr)
	if err != nil {
		return notRun("it wants port 9092, which another program has")
	}
	l.Close()
	binary, dir, err := b.testBinary(ctx, "kafka-go", kafkaGoModule, kafkaGoModule, r.suite.version)
	if err != nil {
		return err
	}
	_, _, stop, err := b.start(ctx, addr, "--advertise", "localhost:9092")
	if err != nil {
		return err
	}
	defer stop()
	return r.tests(ctx, binary, dir, r.leave("kafka-go"), []string{"KAFKA_VERSION=3.7.0", "KAFKA_SKIP_NETTEST=1"}, "-test.short")
}

// librdkafka builds clients/librdkafka.go.txt with the librdkafka that
// confluent-kafka-go brings, and runs it.
func librdkafka(ctx context.Context, b *bench, r *result) error {
	if _, err := find("gcc", "Debian: apt-get install gcc"); err != nil {
		return err
	}
	source, err := clients.ReadFile("clients/librdkafka.go.txt")
	if err != nil {
		return err
	}
	dir, err := b.module(ctx, "librdkafka", "github.com/confluentinc/confluent-kafka-go/v2", r.suite.version, string(source))
	if err != nil {
		return err
	}
	if out, err := goIn(ctx, dir, "build", "-o", "client", ".").CombinedOutput(); err != nil {
		return fmt.Errorf("building the client: %w: %s", err, out)
	}
	addr, _, stop, err := b.start(ctx, "127.0.0.1:0")
	if err != nil {
		return err
	}
	defer stop()
	return r.lines(exec.CommandContext(ctx, filepath.Join(dir, "client"), addr)) //nolint:gosec // built a moment ago
}
