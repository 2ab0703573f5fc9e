package main

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/alecthomas/kong"

	"github.com/quokka-stream/quokka/deploy/newservice"
	"github.com/quokka-stream/quokka/deploy/platform"
	"github.com/quokka-stream/quokka/deploy/term"
)

type newCmd struct {
	Service newServiceCmd `cmd:"" help:"Make a service of your own, in a checkout: code, tests, schemas, topics, and its place in the platform."`
}

type newServiceCmd struct {
	Name     string   `arg:"" optional:"" help:"Its name: one word in lower case, such as payment."`
	Consumes []string `placeholder:"TOPIC" help:"Topics whose events it handles, separated by commas."`
	Produces []string `placeholder:"TOPIC" help:"Topics that it brings and announces its own events on, such as payments.v1. Implies --db: events leave by the outbox, in the transaction of their effect."`
	DB       bool     `name:"db" help:"Give it a database, so that each event takes effect once."`
	HTTP     bool     `name:"http" help:"Give it an HTTP API."`
	Check    bool     `help:"Make nothing: tell where the services that exist differ from the template."`
	Checkout string   `default:"." type:"path" placeholder:"DIR" help:"The checkout, or a folder in it."`
}

// Run makes the service, or checks those that are there.
func (c *newServiceCmd) Run(k *kong.Context, out *output) error {
	root, err := newservice.Find(c.Checkout)
	if err != nil {
		return err
	}
	if c.Check {
		return checkServices(root, out.out)
	}
	if c.Name == "" {
		return errors.New("name the service: quokka new service NAME --consumes TOPIC (--help tells more)")
	}
	var reserved []string
	for _, n := range k.Model.Children {
		reserved = append(reserved, n.Name)
	}
	for p := range platform.DefaultPorts {
		reserved = append(reserved, string(p))
	}
	// Those of services are refused because the services are there.
	reserved = slices.DeleteFunc(reserved, func(name string) bool { return newservice.Exists(root, name) })
	r, err := newservice.Create(root, newservice.Spec{
		Name: c.Name, Consumes: c.Consumes, Produces: c.Produces, DB: c.DB, HTTP: c.HTTP, Reserved: reserved,
	})
	if err != nil {
		return err
	}
	if len(c.Produces) > 0 && !c.DB && !r.Again {
		out.out.Printf("  with a database: events leave by the outbox, in the transaction of their effect\n")
	}
	printResult(r, out.out)
	return nil
}

// printResult prints what was done, and what to do next.
func printResult(r newservice.Result, out *term.Printer) {
	name := r.Spec.Name
	if r.Again {
		out.Printf("  services/%s is there already, made by these arguments: nothing was changed\n", name)
		return
	}
	for _, list := range []struct {
		what  string
		files []string
	}{{"added", r.Added}, {"changed", r.Changed}} {
		for _, file := range list.files {
			out.Printf("  %s  %s\n", out.Paint(term.Dim, fmt.Sprintf("%-7s", list.what)), file)
		}
	}
	look := fmt.Sprintf(`grep '"service":"%s"' .quokka/quokka.log shows what it handled`, name)
	if r.Spec.HTTP {
		list := "recent"
		if r.Spec.DB {
			list = "entries"
		}
		look = fmt.Sprintf("curl http://127.0.0.1:%d/%s shows what it handled", r.Port, list)
	}
	rules := "its types and rules"
	if len(r.Spec.Produces) > 0 {
		rules = "its types, rules and events"
	}
	out.Printf("\n  Next:\n")
	for i, step := range []string{
		fmt.Sprintf("make build && go test ./services/%s/...", name),
		fmt.Sprintf("make up, place orders with .bin/quokka load --orders 10, and look: %s", look),
		fmt.Sprintf("make it yours: services/%[1]s/handlers.go says what is done with each event, services/%[1]s/%[1]s.go has %[2]s; docs/new-service.md goes on from here", name, rules),
	} {
		out.Printf("  %d. %s\n", i+1, step)
	}
}

// checkServices prints where services differ from the template.
func checkServices(root string, out *term.Printer) error {
	services, drifts, err := newservice.Check(root)
	if err != nil {
		return err
	}
	for _, d := range drifts {
		out.Printf("%s\n\n", d)
	}
	if len(drifts) > 0 {
		return fmt.Errorf("%d differences from the template", len(drifts))
	}
	out.Printf("  as the template says: %s\n", strings.Join(services, ", "))
	return nil
}
