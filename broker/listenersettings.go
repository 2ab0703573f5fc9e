package broker

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"

	"github.com/quokka-stream/quokka/broker/internal/cluster"
)

// The listeners as Kafka's settings describe them.

var listenerForm = regexp.MustCompile(`^([A-Za-z0-9_.-]+)://(.*)$`)

// protocols are Kafka's names of how a listener is secured.
var protocols = []string{"PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"}

// listenersFromSettings fills in Listeners from Settings, where they are described
// there and not in Listeners.
func (c *Config) listenersFromSettings() error {
	if len(c.Listeners) > 0 || c.Settings["listeners"] == "" {
		return c.singleFromSettings()
	}
	if c.Listen != "" || c.Listener != nil || c.Advertise != "" || c.SASL || c.Settings["quokka.tls.cert"] != "" {
		return errors.New("both listeners and a single listener (--listen, --advertise, --sasl, --tls-cert) are given: leave one out")
	}
	listen, err := parseListeners("listeners", c.Settings["listeners"])
	if err != nil {
		return err
	}
	advertise, err := parseListeners("advertised.listeners", c.Settings["advertised.listeners"])
	if err != nil {
		return err
	}
	secured, err := parseProtocols(c.Settings["listener.security.protocol.map"])
	if err != nil {
		return err
	}
	controllers := cluster.SplitList(strings.ToUpper(c.Settings["controller.listener.names"]))
	for _, l := range listen {
		if slices.Contains(controllers, l.name) {
			continue
		}
		protocol, ok := secured[l.name]
		if !ok {
			return fmt.Errorf("no security protocol is defined for listener %s: add %s:PLAINTEXT, or another protocol, to listener.security.protocol.map", l.name, l.name)
		}
		listener, err := c.listener(l.name, protocol)
		if err != nil {
			return err
		}
		listener.Listen = l.addr
		for i, a := range advertise {
			if a.name == l.name {
				listener.Advertise = a.addr
				advertise = slices.Delete(advertise, i, i+1)
				break
			}
		}
		c.Listeners = append(c.Listeners, listener)
	}
	for _, a := range advertise {
		if !slices.Contains(controllers, a.name) {
			return fmt.Errorf("advertised.listeners has %s, which is not in listeners: add it there, or leave it out", a.name)
		}
	}
	if len(c.Listeners) == 0 {
		return errors.New("listeners has none for clients: all are named in controller.listener.names")
	}
	return nil
}

// singleFromSettings fills in the fields of a single listener.
func (c *Config) singleFromSettings() error {
	if c.Settings["advertised.listeners"] != "" && len(c.Listeners) == 0 {
		return errors.New("advertised.listeners is given without listeners: give both, or one address and what clients are told (--listen and --advertise)")
	}
	chain, key, ca := c.Settings["quokka.tls.cert"], c.Settings["quokka.tls.key"], c.Settings["quokka.tls.client.ca"]
	if c.TLS != nil || chain+key+ca == "" {
		return nil
	}
	var err error
	c.TLS, err = TLSFiles(chain, key, ca)
	return err
}

type namedAddress struct{ name, addr string }

// parseListeners reads a list of NAME://host:port.
func parseListeners(setting, value string) ([]namedAddress, error) {
	var out []namedAddress
	for _, v := range cluster.SplitList(value) {
		m := listenerForm.FindStringSubmatch(v)
		if m == nil {
			return nil, fmt.Errorf("%s: %q is no listener: write NAME://host:port", setting, v)
		}
		if _, _, err := splitAddr(m[2]); err != nil {
			return nil, fmt.Errorf("%s: %q is no listener: write NAME://host:port: %w", setting, v, err)
		}
		name := strings.ToUpper(m[1])
		if slices.ContainsFunc(out, func(a namedAddress) bool { return a.name == name }) {
			return nil, fmt.Errorf("%s: listener %s is there twice: give each a name of its own", setting, name)
		}
		out = append(out, namedAddress{name, m[2]})
	}
	return out, nil
}

// parseProtocols reads listener.security.protocol.map; without one, each protocol
// is the name of a listener.
func parseProtocols(value string) (map[string]string, error) {
	out := map[string]string{}
	if value == "" {
		for _, p := range protocols {
			out[p] = p
		}
		return out, nil
	}
	for _, v := range cluster.SplitList(value) {
		name, protocol, _ := strings.Cut(v, ":")
		name, protocol = strings.ToUpper(strings.TrimSpace(name)), strings.ToUpper(strings.TrimSpace(protocol))
		if name == "" || !slices.Contains(protocols, protocol) {
			return nil, fmt.Errorf("listener.security.protocol.map: %q is not NAME:PROTOCOL with one of %s", v, strings.Join(protocols, ", "))
		}
		if _, twice := out[name]; twice {
			return nil, fmt.Errorf("listener.security.protocol.map: listener %s is there twice", name)
		}
		out[name] = protocol
	}
	return out, nil
}

// protocolMap writes listener.security.protocol.map.
func protocolMap(listeners []Listener) string {
	var out []string
	for i := range listeners {
		out = append(out, listeners[i].Name+":"+listeners[i].protocol())
	}
	return strings.Join(out, ",")
}

// listener makes a listener of what the settings say of its security.
func (c *Config) listener(name, protocol string) (Listener, error) {
	l := Listener{
		Name: name, SASL: strings.HasPrefix(protocol, "SASL_"),
		PrincipalMapping: c.ofListener(name, "ssl.principal.mapping.rules"),
		Mechanisms:       cluster.SplitList(c.ofListener(name, "sasl.enabled.mechanisms")),
	}
	if !strings.HasSuffix(protocol, "SSL") {
		return l, nil
	}
	get := func(setting string) string { return c.ofListener(name, setting) }
	if get("ssl.keystore.location") == "" && get("ssl.keystore.certificate.chain") == "" && c.TLS != nil {
		l.TLS = c.TLS
		return l, nil
	}
	l.stores = &listenerStores{listener: name, sasl: l.SASL}
	l.stores.start = l.stores.of(&cluster.Image{Local: cluster.Local{Static: c.Settings}})
	var err error
	if l.TLS, err = tlsOf(l.stores.now); err != nil {
		return l, fmt.Errorf("listener %s: %w", name, err)
	}
	return l, nil
}

// ofListener is the value of a setting for one listener.
func (c *Config) ofListener(listener, name string) string {
	if v, ok := c.Settings[cluster.ForListener(listener, name)]; ok {
		return v
	}
	return c.Settings[name]
}

var jaasUser = regexp.MustCompile(`\buser_([^\s="]+)\s*=\s*"([^"]*)"`)

// usersFromSettings adds the first users that the settings name: those of
// quokka.users.file, and those of listeners' PLAIN logins.
func (c *Config) usersFromSettings() error {
	users, err := readUsers(c.Settings["quokka.users.file"])
	if err != nil {
		return err
	}
	for name, value := range c.Settings {
		if _, base, _ := cluster.FindBrokerConfig(name); base == "sasl.jaas.config" {
			for _, m := range jaasUser.FindAllStringSubmatch(value, -1) {
				users[m[1]] = m[2]
			}
		}
	}
	if len(users) > 0 {
		maps.Copy(users, c.Users)
		c.Users = users
	}
	return nil
}

// readUsers reads a file of lines name:password; empty lines and lines that begin
// with # are passed over. No file means no users.
func readUsers(file string) (map[string]string, error) {
	users := map[string]string{}
	if file == "" {
		return users, nil
	}
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("reading users (--users-file, quokka.users.file): %w", err)
	}
	n := 0
	for line := range strings.Lines(string(data)) {
		n++
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		name, password, ok := strings.Cut(line, ":")
		if !ok || name == "" || password == "" {
			return nil, fmt.Errorf("%s (--users-file, quokka.users.file), line %d: a line is name:password", file, n)
		}
		users[name] = password
	}
	return users, nil
}
