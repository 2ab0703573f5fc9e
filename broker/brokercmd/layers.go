package brokercmd

import (
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"

	"github.com/quokka-stream/quokka/broker/internal/cluster"
)

// layer has settings of one source, by name.
type layer map[string]string

const (
	prefix          = "QUOKKA_BROKER_"
	configVariable  = prefix + "CONFIG"
	dataDirVariable = prefix + "DATA_DIR"
)

// own are the command's settings, which the broker does not know.
var own = []string{metricsAddr, logLevel, logFormat}

func known(name string) bool {
	_, _, ok := cluster.FindBrokerConfig(name)
	return ok || slices.Contains(own, name)
}

// didYouMean names the setting that name is a slip of the pen for, "" for none.
func didYouMean(name string) string {
	for _, o := range own {
		if strings.HasPrefix(name, "quokka.") && cluster.Distance(name, o) <= 2 {
			return "; did you mean " + o + "?"
		}
	}
	return cluster.DidYouMean(name)
}

// notSettings are variables with the prefix that mean something else: the broker of
// the embedded platform, and its traces.
var notSettings = []string{configVariable, dataDirVariable, prefix + "ADDR", prefix + "TRACE"}

// environment reads the settings in the environment. Variables that are none are
// passed over: a container platform adds such by itself.
func environment(environ []string, report func(format string, args ...any)) layer {
	names := map[string]string{}
	for name := range cluster.BrokerConfigs() {
		names[env(name)] = name
	}
	for _, name := range own {
		names[env(name)] = name
	}
	out := layer{}
	for _, line := range environ {
		variable, v, _ := strings.Cut(line, "=")
		rest, ok := strings.CutPrefix(variable, prefix)
		if !ok || v == "" || slices.Contains(notSettings, variable) {
			continue
		}
		name, ok := names[variable]
		if !ok {
			name, ok = perListener(rest, names)
		}
		if ok {
			out[name] = v
		} else if hint := cluster.DidYouMean(strings.ToLower(strings.ReplaceAll(rest, "_", "."))); hint != "" {
			report("%s is no setting%s", variable, hint)
		}
	}
	for _, line := range environ {
		if v, ok := strings.CutPrefix(line, dataDirVariable+"="); ok && v != "" {
			out["log.dirs"] = v
		}
	}
	return out
}

// perListener is the setting of one listener that a variable names.
func perListener(variable string, names map[string]string) (string, bool) {
	rest, ok := strings.CutPrefix(variable, "LISTENER_NAME_")
	if !ok {
		return "", false
	}
	best, listener := "", ""
	for v, name := range names {
		if before, ok := strings.CutSuffix(rest, "_"+strings.TrimPrefix(v, prefix)); ok && len(name) > len(best) {
			best, listener = name, before
		}
	}
	mechanism := ""
	if best == "sasl.jaas.config" {
		listener, mechanism = strings.TrimSuffix(listener, "_PLAIN"), "plain."
	}
	name := cluster.ForListener(listener, mechanism+best)
	return name, best != "" && listener != "" && known(name)
}

// file keeps the settings of a properties file that are known. A slip of the pen is
// an error; what nobody knows is reported.
func file(path string, text []byte, report func(format string, args ...any)) (layer, error) {
	entries, err := parseProperties(string(text))
	if err != nil {
		return nil, fmt.Errorf("%s (--config): %w", path, err)
	}
	out := layer{}
	var errs []error
	for _, e := range entries {
		switch _, twice := out[e.name]; {
		case known(e.name):
			if twice {
				report("%s, line %d: %s is there twice; the last one counts", path, e.line, e.name)
			}
			out[e.name] = strings.TrimSpace(e.value)
		case didYouMean(e.name) != "":
			errs = append(errs, fmt.Errorf("%s (--config), line %d: unknown setting %q%s", path, e.line, e.name, didYouMean(e.name)))
		default:
			report("%s, line %d: %s is no setting of this broker, nor like one, and is passed over", path, e.line, e.name)
		}
	}
	return out, errors.Join(errs...)
}

// single describe one listener, named describe several: where a layer has one form,
// it takes the place of the other one in the layers below it.
var (
	single = []string{"quokka.listen", "quokka.advertise", "quokka.sasl", "quokka.tls.cert", "quokka.tls.key", "quokka.tls.client.ca"}
	named  = []string{"listeners", "advertised.listeners", "listener.security.protocol.map"}
)

// merge puts layers together, the later ones over the earlier ones.
func merge(report func(format string, args ...any), layers ...layer) layer {
	out := layer{}
	for _, l := range layers {
		for by, others := range map[string][]string{"listeners": single, "quokka.listen": named} {
			for _, name := range others {
				if l[by] != "" && out[name] != "" {
					report("%s, given by a flag or the environment, takes the place of %s, given below it", by, name)
					delete(out, name)
				}
			}
		}
		// Two names of one thing: both in one layer stay, and are checked.
		for _, pair := range [][2]string{{"log.dirs", "log.dir"}, {"node.id", "broker.id"}} {
			if l[pair[0]] != "" || l[pair[1]] != "" {
				delete(out, pair[0])
				delete(out, pair[1])
			}
		}
		maps.Copy(out, l)
	}
	return out
}

// take returns a setting of the command's and removes it.
func (l layer) take(name, standard string) string {
	v, ok := l[name]
	delete(l, name)
	if !ok || v == "" {
		return standard
	}
	return v
}

// levelOf reads a log level.
func levelOf(text string) (slog.Level, error) {
	var level slog.Level
	if err := level.UnmarshalText([]byte(text)); err != nil {
		return level, fmt.Errorf("log level %q (--log-level, %s): use debug, info, warn or error", text, logLevel)
	}
	return level, nil
}
