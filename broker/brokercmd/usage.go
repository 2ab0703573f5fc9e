package brokercmd

import (
	"flag"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/quokka-stream/quokka/broker/internal/cluster"
)

// help writes the flags with their variables, and where else settings may be.
func (c Command) help(flags *flag.FlagSet) error {
	out := c.Stdout
	fmt.Fprintf(out, `Usage: %[1]s [flags]
       %[1]s check [--data-dir DIR]
       %[1]s repair [--data-dir DIR] [--apply] [FILE…]

Run a broker alone: a Kafka-protocol server in one process. check verifies the files
of a broker that is stopped; repair says what a repair would lose, and does it.

`, c.Name)
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	mine := map[string]bool{"config": true, "override": true, "list-settings": true}
	fmt.Fprintf(table, "  --config FILE\t%s\tproperties file of settings, as Kafka's server.properties\n", configVariable)
	for _, o := range options {
		mine[o.flag] = true
		fmt.Fprintf(table, "  --%s\t%s\t%s\n", strings.TrimSpace(o.flag+" "+o.value), o.variable(), o.help)
	}
	flags.VisitAll(func(f *flag.Flag) {
		if !mine[f.Name] {
			flagLine(table, f)
		}
	})
	fmt.Fprintf(table, "  --override NAME=VALUE\t\tany setting by its name in Apache Kafka; may be repeated\n")
	fmt.Fprintf(table, "  --list-settings\t\tprint every setting with its default and what it does here\n")
	if err := table.Flush(); err != nil {
		return err
	}
	fmt.Fprintf(out, `
A flag wins over the environment, the environment over the file, the file over the default.
Every setting of a broker of Apache Kafka 4.1 is known: num.partitions is
--override num.partitions=3, %s=3 in the environment, num.partitions=3 in the
file; a setting of one listener is listener.name.external.ssl.keystore.location.
`, env("num.partitions"))
	return nil
}

// flagLine writes a flag that has no variable into a table of the help.
func flagLine(table io.Writer, f *flag.Flag) {
	value, help := flag.UnquoteUsage(f)
	fmt.Fprintf(table, "  --%s\t\t%s\n", strings.TrimSpace(f.Name+" "+strings.ToUpper(value)), help)
}

// listSettings writes every setting, and Kafka's default where ours is another.
func listSettings(out io.Writer) error {
	configs := cluster.BrokerConfigs()
	for _, name := range slices.Sorted(maps.Keys(configs)) {
		def := configs[name]
		if def.Internal {
			continue
		}
		value := def.Default
		if def.Null || value == "" {
			value = ""
		}
		theirs, differs := cluster.KafkaDefault(name)
		if differs {
			theirs = " In Kafka: " + theirs + "."
		}
		if _, err := fmt.Fprintf(out, "%s=%s\n  %s. %s%s\n", name, value, def.Update, def.Doc, theirs); err != nil {
			return err
		}
	}
	return nil
}
