package cluster

import (
	"context"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/quokka-stream/quokka/broker/internal/quota"
)

// memLog is a Log in memory that can be told to fail.
type memLog struct {
	records  [][]byte
	replaced int
	fail     error
}

func (l *memLog) Append(records ...[]byte) error {
	if l.fail == nil {
		l.records = append(l.records, records...)
	}
	return l.fail
}

func (l *memLog) Replace(records [][]byte) error {
	l.records = records
	l.replaced++
	return nil
}

func equalImages(t *testing.T, got, want *Image) {
	t.Helper()
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(Image{}), cmpopts.IgnoreFields(Image{}, "Version")); diff != "" {
		t.Error(diff)
	}
}

func build(t *testing.T, c *Cluster) {
	t.Helper()
	propose := func(cmds ...Command) {
		t.Helper()
		if err := c.Propose(context.Background(), cmds...); err != nil {
			t.Fatal(err)
		}
	}
	a, b := NewID(), NewID()
	propose(&SetClusterID{"cluster"}, &CreateTopic{Name: "a", ID: a, Partitions: 2}, &CreateTopic{Name: "b", ID: b, Partitions: 1, Configs: map[string]string{"segment.ms": "5"}})
	propose(&StartBroker{Epoch: 1})
	propose(&AddPartitions{ID: a, Total: 3}, &AllocateProducerIDs{Next: 1000})
	propose(&SetTopicConfigs{ID: a, Configs: map[string]string{"retention.ms": "7"}}, &SetBrokerConfigs{Configs: map[string]string{"log.retention.ms": "9"}})
	propose(&DeleteTopic{ID: b}, &CreateTopic{Name: "b", ID: NewID(), Partitions: 1})
	propose(&SetCredential{User: "u", Mechanism: 1, Credential: Credential{Salt: []byte("s"), Iterations: 4096}}, &SetCredential{User: "u", Mechanism: 2}, &SetCredential{User: "v", Mechanism: 1})
	propose(&DeleteCredential{User: "u", Mechanism: 2}, &DeleteCredential{User: "v", Mechanism: 1})
	alice := quota.Entity{User: quota.Named("alice"), ClientID: quota.Default}
	propose(&SetClientQuotas{alice, quota.Limits{quota.Produce: 1000, quota.Request: 12.5}}, &SetClientQuotas{quota.Entity{IP: quota.Default}, quota.Limits{quota.Connection: 9}})
	propose(&SetClientQuotas{alice, quota.Limits{quota.Produce: 2000}}, &SetClientQuotas{Entity: quota.Entity{IP: quota.Default}})
	propose(&AddACLs{[]ACL{{ResourceType: 2, ResourceName: "a"}, {ResourceType: 2, ResourceName: "b"}}}, &DeleteACLs{[]ACL{{ResourceType: 2, ResourceName: "b"}}})
}

// TestReopen: the fold of the log is the image; the commands of an image make it anew.
func TestReopen(t *testing.T) {
	log := &memLog{}
	c, err := Open(log, nil)
	if err != nil {
		t.Fatal(err)
	}
	build(t, c)
	again, err := Open(&memLog{}, log.records)
	if err != nil {
		t.Fatal(err)
	}
	equalImages(t, again.Image(), c.Image())
	rewritten := newImage()
	for _, cmd := range commandsOf(c.Image()) {
		record, err := encode(cmd)
		if err != nil {
			t.Fatal(err)
		}
		if cmd, err = decode(record); err != nil {
			t.Fatal(err)
		}
		if err := cmd.apply(rewritten); err != nil {
			t.Fatal(err)
		}
	}
	rewritten.finish()
	equalImages(t, rewritten, c.Image())
	if got := c.Image().LeaderEpoch(c.Image().Topic("a"), 0); got != 1 {
		t.Errorf("the epoch of an old partition is %d", got)
	}
	if got := c.Image().LeaderEpoch(c.Image().Topic("a"), 2); got != 0 {
		t.Errorf("the epoch of a new partition is %d", got)
	}
}

// TestRewrite: a log of mostly overtaken records is replaced, and says the same.
func TestRewrite(t *testing.T) {
	log := &memLog{}
	c, _ := Open(log, nil)
	build(t, c)
	for n := range int32(200) {
		if err := c.Propose(context.Background(), &StartBroker{Epoch: n + 2}); err != nil {
			t.Fatal(err)
		}
	}
	again, err := Open(log, log.records)
	if err != nil || log.replaced != 1 || len(log.records) > 20 {
		t.Fatalf("replaced %d times, %d records, %v", log.replaced, len(log.records), err)
	}
	third, err := Open(log, log.records)
	if err != nil || log.replaced != 1 {
		t.Fatalf("replaced %d times, %v", log.replaced, err)
	}
	equalImages(t, again.Image(), c.Image())
	equalImages(t, third.Image(), c.Image())
}

// TestGivenUp: a change whose caller has gone is not begun.
func TestGivenUp(t *testing.T) {
	log := &memLog{}
	c, err := Open(log, nil)
	if err != nil {
		t.Fatal(err)
	}
	before := c.Image()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := c.Propose(ctx, &StartBroker{Epoch: 1}); !errors.Is(err, context.Canceled) {
		t.Errorf("the command of who has gone: %v", err)
	}
	if err := c.Update(ctx, func(*Image) ([]Command, error) { return []Command{&StartBroker{Epoch: 1}}, nil }); !errors.Is(err, context.Canceled) {
		t.Errorf("the update of who has gone: %v", err)
	}
	if len(log.records) != 0 || c.Image() != before {
		t.Errorf("something was changed: %d records in the log", len(log.records))
	}
}

// TestAtomic: of a refused or failed proposal nothing is seen, here or later.
func TestAtomic(t *testing.T) {
	log := &memLog{}
	c, _ := Open(log, nil)
	build(t, c)
	before, records := c.Image(), len(log.records)
	err := c.Propose(context.Background(), &CreateTopic{Name: "new", ID: NewID(), Partitions: 1}, &CreateTopic{Name: "a", ID: NewID(), Partitions: 1})
	var refused *Error
	if !errors.As(err, &refused) || refused.Code != 36 {
		t.Errorf("the error is %v", err)
	}
	log.fail = errors.New("the disk is gone")
	if err := c.Propose(context.Background(), &CreateTopic{Name: "new", ID: NewID(), Partitions: 1}); !errors.Is(err, log.fail) {
		t.Errorf("the error is %v", err)
	}
	if c.Image() != before || len(log.records) != records {
		t.Error("something changed")
	}
}
