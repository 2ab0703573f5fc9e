package cluster

import "testing"

// nowhere is a log that keeps nothing.
type nowhere struct{}

func (nowhere) Append(...[]byte) error { return nil }
func (nowhere) Replace([][]byte) error { return nil }

// FuzzCommands opens a cluster whose log has anything for a last record: it is refused,
// or the image can be written down and read again.
func FuzzCommands(f *testing.F) {
	first := []Command{&SetClusterID{ClusterID: "c"}, &StartBroker{Epoch: 1}, &CreateTopic{Name: "t", ID: ID{1}, Partitions: 2}}
	var before [][]byte
	for _, c := range first {
		b, err := encode(c)
		if err != nil {
			f.Fatal(err)
		}
		before = append(before, b)
	}
	for name, make := range commands {
		b, err := encode(make())
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
		f.Add([]byte(`{"type":"` + name + `","data":{"partitions":-1,"total":-1,"name":"u","id":"x"}}`))
		f.Add([]byte(`{"type":"` + name + `","data":{"partitions":2147483647,"total":2147483647}}`))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		c, err := Open(nowhere{}, append(before[:len(before):len(before)], b))
		if err != nil {
			return
		}
		var again [][]byte
		for _, cmd := range commandsOf(c.Image()) {
			b, err := encode(cmd)
			if err != nil {
				t.Fatal(err)
			}
			again = append(again, b)
		}
		if _, err := Open(nowhere{}, again); err != nil {
			t.Fatalf("the image cannot be read again: %v", err)
		}
	})
}
