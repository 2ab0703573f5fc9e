package main

import (
	"context"
	"errors"
	"io"
	"os"

	"github.com/quokka-stream/quokka/deploy/operate"
)

type topicsWriteCmd struct {
	Topic     string            `arg:"" help:"The topic's name."`
	Key       string            `placeholder:"KEY" help:"The record's key (default: none)."`
	Value     *string           `placeholder:"TEXT" xor:"value" help:"The record's value, as text."`
	ValueFile string            `placeholder:"FILE" xor:"value" help:"The record's value, byte by byte; - is standard input."`
	Header    map[string]string `placeholder:"NAME=VALUE" help:"A header."`
	Partition int32             `default:"-1" placeholder:"N" help:"The partition (default: by the key, as all clients choose it)."`
	Force     bool              `help:"Write to one of the cluster's own topics, whose names begin with _."`
	cluster
}

func (topicsWriteCmd) Help() string {
	return `Examples:
  quokka topics write orders.v1 --key demo --value 'not an event'        dead-lettered by every group
  quokka topics write orders.v1 --key demo --value-file record.bin --header ce_id=1

Without --value and --value-file the record has no value: a tombstone on a compacted topic.`
}

func (c *topicsWriteCmd) Run(ctx context.Context, out *output) error {
	record := operate.NewRecord{Topic: c.Topic, Partition: c.Partition, Headers: c.Header, Force: c.Force}
	if c.Key != "" {
		record.Key = []byte(c.Key)
	}
	var err error
	switch {
	case c.Value != nil:
		record.Value = []byte(*c.Value)
	case c.ValueFile == "-":
		record.Value, err = io.ReadAll(io.LimitReader(os.Stdin, operate.MaxValue+1))
	case c.ValueFile != "":
		record.Value, err = os.ReadFile(c.ValueFile)
	}
	if err != nil {
		return err
	}
	if len(record.Value) > operate.MaxValue {
		return errors.New("a value of more than 64 MiB is no record")
	}
	client, err := c.open(ctx)
	if err != nil {
		return err
	}
	defer client.Close()
	written, err := client.Write(ctx, record)
	if err != nil {
		return err
	}
	out.out.Printf("  written to %s[%d]@%d\n", written.Topic, written.Partition, written.Offset)
	return nil
}
