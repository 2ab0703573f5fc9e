package main

import "github.com/quokka-stream/quokka/broker"

// brokerGroup runs the broker, or looks after the files of one that is stopped.
type brokerGroup struct {
	Run    brokerCmd       `cmd:"" default:"withargs" help:"Run the broker alone: what quokka broker does without a further word."`
	Check  brokerCheckCmd  `cmd:"" help:"Verify every file of a broker that is stopped; changes nothing, exits 1 if something is damaged."`
	Repair brokerRepairCmd `cmd:"" help:"Say what a repair of damaged files would lose, and with --apply do it."`
}

type brokerCheckCmd struct {
	DataDir string `default:"broker-data" env:"QUOKKA_BROKER_DATA_DIR" type:"path" placeholder:"DIR" help:"Where everything is kept."`
}

func (c *brokerCheckCmd) Run(out *output) error { return broker.Check(c.DataDir, out.stdout) }

type brokerRepairCmd struct {
	Files   []string `arg:"" optional:"" type:"path" name:"file" help:"The files, as a message names them (default: all that are damaged)."`
	DataDir string   `type:"path" placeholder:"DIR" help:"Where everything is kept (default: the directory that the first file is in)."`
	Apply   bool     `help:"Do it. Files that are replaced are kept under names that end in .damaged."`
}

func (c *brokerRepairCmd) Run(out *output) error {
	return broker.Repair(c.DataDir, c.Files, c.Apply, out.stdout)
}
