package main

import (
	"fmt"

	"github.com/quokka-stream/quokka/broker"
)

// cell is one combination that is measured.
type cell struct {
	name        string
	size        int // of a record's value, bytes
	partitions  int32
	producers   int // clients
	compression string
	flush       broker.FlushPolicy
	bytes       int64 // of values in a round
	// sync: each producer sends one record and waits for its answer.
	sync bool
	// load is the share of our own throughput at which latencies are measured;
	// zero: as fast as it goes.
	load float64
	// consume: also read everything back; cold: from the disk.
	consume, cold bool
	// tail: somebody reads what is produced at a load as it comes, and the latencies
	// are those from the moment a record was due to the moment it was read.
	tail bool
}

// keepsNothing says whether a server cannot take part in a cell because it has only
// one batch to hand out.
func (c cell) keepsNothing(server string) bool { return server == nobody && (c.cold || c.tail) }

// records is how many a round has: as many from each producer.
func (c cell) records() int { return int(c.bytes) / c.size / c.producers * c.producers }

// base is the middle of the matrix; one axis at a time is varied from it.
func base(bytes int64) cell {
	return cell{size: 1 << 10, partitions: 12, producers: 8, compression: "none", flush: broker.FlushGroup, bytes: bytes, consume: true}
}

// defaultMB is how many MB of values a round of the base cell has.
const defaultMB = 96

// matrix lists the cells for rounds of so many bytes.
func matrix(bytes int64) []cell {
	var cells []cell
	add := func(name string, change func(*cell)) {
		c := base(bytes)
		c.name = name
		change(&c)
		cells = append(cells, c)
	}
	add("base", func(*cell) {})
	add("100 B", func(c *cell) { c.size, c.bytes = 100, bytes/4 })
	add("100 B, os", func(c *cell) { c.size, c.bytes, c.flush = 100, bytes/4, broker.FlushOS })
	add("10 KiB", func(c *cell) { c.size = 10 << 10 })
	add("1 partition", func(c *cell) { c.partitions = 1 })
	add("200 partitions", func(c *cell) { c.partitions = 200 })
	add("lz4", func(c *cell) { c.compression = "lz4" })
	add("zstd", func(c *cell) { c.compression = "zstd" })
	add("interval", func(c *cell) { c.flush = broker.FlushInterval })
	add("os", func(c *cell) { c.flush = broker.FlushOS })
	for _, p := range []struct{ producers, acks int }{{1, 1000}, {8, 400}, {64, 150}} {
		for _, partitions := range []int32{1, 12} {
			add(fmt.Sprintf("sync %d on %d", p.producers, partitions), func(c *cell) {
				c.sync, c.producers, c.partitions, c.size, c.consume = true, p.producers, partitions, 100, false
				c.bytes = int64(p.producers*p.acks*c.size) * bytes / (defaultMB << 20)
			})
		}
	}
	for _, load := range []float64{.5, .8} {
		add(fmt.Sprintf("latency at %.0f %%", 100*load), func(c *cell) { c.load, c.consume = load, false })
	}
	add("read at the tail, at 50 %", func(c *cell) { c.load, c.consume, c.tail = .5, false, true })
	add("cold", func(c *cell) { c.cold = true })
	return cells
}
