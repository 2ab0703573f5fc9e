package kafka

import (
	_ "embed"

	"github.com/quokka-stream/quokka/deploy/javaserver"
)

//go:embed pom.xml
var pom []byte

//go:embed log4j2.properties
var log4j []byte

// IsNotRun reports whether err says that Kafka cannot run here.
func IsNotRun(err error) bool { return javaserver.IsNotRun(err) }

// Version is the version of Apache Kafka that Open uses.
func Version() string { return javaserver.Property(pom, "kafka.version") }
