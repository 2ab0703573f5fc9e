package strangers

import (
	"fmt"
	"os/exec"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/quokka-stream/quokka/broker/brokertest"
)

// kcat runs kcat, which is librdkafka, with input and returns what it prints.
func kcat(t *testing.T, addr, input string, args ...string) string {
	t.Helper()
	path, err := exec.LookPath("kcat")
	if err != nil {
		t.Skip("kcat is not installed")
	}
	cmd := exec.CommandContext(soon(t), path, append([]string{"-b", addr, "-m", "120"}, args...)...)
	cmd.Stdin = strings.NewReader(input)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("kcat %s: %v\n%s", strings.Join(args, " "), err, stderr.String())
	}
	return string(out)
}

// TestKcat: librdkafka produces with every codec — compression really applied,
// which it silently is not where Produce is not advertised from version 0 — and
// consumes, alone and in a group.
func TestKcat(t *testing.T) {
	b := brokertest.Start(t)
	var lines strings.Builder
	const n = 500
	for i := range n {
		fmt.Fprintf(&lines, "k%d:value %d with some text to compress, compress, compress\n", i%5, i)
	}
	want := strings.ReplaceAll(lines.String(), ":", " ")
	for attribute, codec := range []string{"none", "gzip", "snappy", "lz4", "zstd"} {
		t.Run(codec, func(t *testing.T) {
			topic := "kcat-" + codec
			kcat(t, b.Addr(), lines.String(), "-P", "-t", topic, "-K:", "-z", codec, "-X", "enable.idempotence=true")
			if got := kcat(t, b.Addr(), "", "-C", "-t", topic, "-e", "-q", "-f", "%k %s\n"); got != want {
				t.Errorf("read %d bytes, want %d", len(got), len(want))
			}
			if got := kcat(t, b.Addr(), "", "-Q", "-t", topic+":0:-1"); !strings.Contains(got, fmt.Sprintf("offset %d", n)) {
				t.Errorf("the end is %q", got)
			}
			// The attributes of the batch say how it is stored.
			c := franz(t, b.Addr(), kgo.ConsumeTopics(topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
			fetches := c.PollFetches(soon(t))
			if err := fetches.Err(); err != nil {
				t.Fatal(err)
			}
			if got := fetches.Records()[0].Attrs.CompressionType(); int(got) != attribute {
				t.Errorf("compression type is %d, want %d", got, attribute)
			}
		})
	}
	t.Run("group", func(t *testing.T) {
		got := kcat(t, b.Addr(), "", "-G", "kcat-group", "-X", "auto.offset.reset=earliest", "-X", "enable.partition.eof=true", "-e", "-q", "-f", "%k %s\n", "kcat-zstd")
		if got != want {
			t.Errorf("the group read %d bytes, want %d", len(got), len(want))
		}
	})
}
