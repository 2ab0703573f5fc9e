package conformance

import (
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/quokka-stream/quokka/broker/internal/record"
)

func listOffset(c *conn, version int16, ts int64, edit ...func(*kmsg.ListOffsetsRequest)) kmsg.ListOffsetsResponseTopicPartition {
	c.t.Helper()
	req := kmsg.NewPtrListOffsetsRequest()
	rt := kmsg.NewListOffsetsRequestTopic()
	rt.Topic = "t"
	rp := kmsg.NewListOffsetsRequestTopicPartition()
	rp.Timestamp, rp.CurrentLeaderEpoch = ts, -1
	rt.Partitions = append(rt.Partitions, rp)
	req.Topics = append(req.Topics, rt)
	for _, e := range edit {
		e(req)
	}
	return ask[*kmsg.ListOffsetsResponse](c, version, req).Topics[0].Partitions[0]
}

func TestListOffsets(t *testing.T) {
	b := start(t)
	c := dial(t, b.Addr())
	c.create("t", 1, "message.timestamp.after.max.ms", "9223372036854775807")
	for _, ts := range []int64{-1, -2, -4} {
		if p := listOffset(c, 8, ts); p.ErrorCode != 0 || p.Offset != 0 {
			t.Errorf("of an empty log, %d: %+v", ts, p)
		}
	}
	for _, ts := range []int64{-3, -5, 0} {
		if p := listOffset(c, 9, ts); p.ErrorCode != 0 || p.Offset != -1 || p.Timestamp != -1 {
			t.Errorf("of an empty log, %d: %+v", ts, p)
		}
	}
	// Timestamps 100, 300, 200 in one batch, then 150, then 400.
	add := func(timestamps ...int64) {
		bb := record.NewBuilder(record.Options{})
		for _, ts := range timestamps {
			bb.Add(record.Record{Timestamp: ts, Key: []byte("k"), Value: []byte("v")})
		}
		if p := c.produce("t", bb.Batch()); p.ErrorCode != 0 {
			t.Fatalf("produce: %+v", p)
		}
	}
	add(100, 300, 200)
	add(150)
	add(400, 400)
	for round := range 2 {
		for _, l := range []struct{ ask, offset, timestamp int64 }{
			{-1, 6, -1}, {-2, 0, -1}, {-3, 4, 400},
			{0, 0, 100}, {100, 0, 100}, {101, 1, 300}, {300, 1, 300}, {301, 4, 400}, {400, 4, 400}, {401, -1, -1},
		} {
			for v := int16(1); v <= 11; v++ {
				if l.ask == -3 && v < 7 {
					if p := listOffset(c, v, l.ask); p.ErrorCode != 35 {
						t.Errorf("v%d does not know %d: code %d", v, l.ask, p.ErrorCode)
					}
					continue
				}
				if p := listOffset(c, v, l.ask); p.ErrorCode != 0 || p.Offset != l.offset || p.Timestamp != l.timestamp {
					t.Errorf("v%d, %d: offset %d time %d code %d; want %d %d", v, l.ask, p.Offset, p.Timestamp, p.ErrorCode, l.offset, l.timestamp)
				}
			}
		}
		if p := listOffset(c, 4, -1); p.LeaderEpoch != int32(round) {
			t.Errorf("the end's leader epoch is %d", p.LeaderEpoch)
		}
		if p := listOffset(c, 4, 300); p.LeaderEpoch != 0 {
			t.Errorf("the leader epoch of offset 1 is %d", p.LeaderEpoch)
		}
		b.Restart()
		c = dial(t, b.Addr())
	}
}

func TestDeleteRecords(t *testing.T) {
	b := start(t)
	c := dial(t, b.Addr())
	c.create("t", 1)
	c.produce("t", batch(record.Options{}, "a", "b"))
	c.produce("t", batch(record.Options{}, "c", "d"))
	del := func(topic string, offset int64) kmsg.DeleteRecordsResponseTopicPartition {
		req := kmsg.NewPtrDeleteRecordsRequest()
		rt := kmsg.NewDeleteRecordsRequestTopic()
		rt.Topic = topic
		rt.Partitions = []kmsg.DeleteRecordsRequestTopicPartition{{Offset: offset}}
		req.Topics = append(req.Topics, rt)
		return ask[*kmsg.DeleteRecordsResponse](c, 2, req).Topics[0].Partitions[0]
	}
	if p := del("t", 3); p.ErrorCode != 0 || p.LowWatermark != 3 {
		t.Fatalf("%+v", p)
	}
	if p := del("t", 9); p.ErrorCode != 1 {
		t.Errorf("beyond the end: %+v", p)
	}
	b.Restart()
	c = dial(t, b.Addr())
	if p := listOffset(c, 7, -2); p.Offset != 3 {
		t.Errorf("the log starts at %d after a restart", p.Offset)
	}
	if p := fetchOne(c, 11, fetchRequest("t", 1)); p.ErrorCode != 1 || p.LogStartOffset != 3 {
		t.Errorf("a deleted offset: %+v", p)
	}
	if p := del("t", -1); p.ErrorCode != 0 || p.LowWatermark != 4 {
		t.Errorf("everything: %+v", p)
	}
	for policy, code := range map[string]int16{"compact": 44, "compact,delete": 0} {
		name := strings.ReplaceAll(policy, ",", "-")
		c.create(name, 1, "cleanup.policy", policy)
		if p := del(name, -1); p.ErrorCode != code {
			t.Errorf("of a topic with cleanup.policy %s: %+v", policy, p)
		}
	}
}
