package broker_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/quokka-stream/quokka/broker"
)

// harm flips a bit of the second of three records of topic "orders", in a new data
// directory that its broker has closed.
func harm() (dataDir string, remove func()) {
	dir, err := os.MkdirTemp("", "quokka-example-")
	check(err)
	b, end := open(broker.Config{DataDir: dir})
	client := connect(b)
	for _, value := range []string{"first", "second", "third"} { // a batch each
		check(client.ProduceSync(context.Background(), &kgo.Record{Topic: "orders", Value: []byte(value)}).FirstErr())
	}
	client.Close()
	end()
	segment := filepath.Join(dir, "topics", "orders-0", "00000000000000000000.log")
	log, err := os.ReadFile(segment)
	check(err)
	log[bytes.Index(log, []byte("second"))] ^= 1
	check(os.WriteFile(segment, log, 0o600))
	return dir, func() { check(os.RemoveAll(dir)) }
}

// Check reads all of a data directory that no broker runs on, and changes nothing.
func ExampleCheck() {
	dir, remove := harm()
	defer remove()
	var report strings.Builder
	err := broker.Check(dir, &report)
	fmt.Println(err, errors.Is(err, broker.ErrDamaged))
	for line := range strings.Lines(report.String()) {
		if strings.HasPrefix(line, "DAMAGED") {
			fmt.Print(strings.ReplaceAll(line, dir, "data"))
		}
	}
	// Output:
	// the data directory is damaged true
	// DAMAGED  data/topics/orders-0/00000000000000000000.log, byte 73: offsets 1 to 1 are in no whole batch, 74 bytes
}

// Repair says what would be lost, and does it only when it is told to. What it replaces
// is kept.
func ExampleRepair() {
	dir, remove := harm()
	defer remove()
	var report strings.Builder
	check(broker.Repair(dir, nil, false, &report))
	lost, _, _ := strings.Cut(strings.ReplaceAll(report.String(), dir, "data"), "\n")
	fmt.Println(lost)
	fmt.Println("as it was:", broker.Check(dir, io.Discard))
	check(broker.Repair(dir, nil, true, io.Discard))
	fmt.Println("repaired:", broker.Check(dir, io.Discard))
	kept, err := filepath.Glob(filepath.Join(dir, "topics", "orders-0", "*.damaged"))
	fmt.Println("kept:", len(kept), "file,", err)
	// Output:
	// orders-0: lost for good: data/topics/orders-0/00000000000000000000.log, byte 73: offsets 1 to 1 are in no whole batch, 74 bytes
	// as it was: the data directory is damaged
	// repaired: <nil>
	// kept: 1 file, <nil>
}
