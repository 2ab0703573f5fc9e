package kafka

import (
	"context"
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
)

//go:embed pom.xml
var pom []byte

//go:embed log4j2.properties
var log4j []byte

// NotRunError says that this machine cannot run Apache Kafka, and what it
// lacks: whoever wanted it goes on without and says so.
type NotRunError struct{ Reason string }

func (e *NotRunError) Error() string { return "not run: " + e.Reason }

// minJava is the oldest Java that runs Kafka 4's server.
const minJava = 17

// java finds a Java that is new enough.
func java(ctx context.Context) (string, error) {
	path := ""
	if home := os.Getenv("JAVA_HOME"); home != "" {
		path = filepath.Join(home, "bin", "java")
	}
	if _, err := os.Stat(path); err != nil {
		if path, err = exec.LookPath("java"); err != nil {
			return "", &NotRunError{"no Java on this machine (Debian: apt-get install openjdk-17-jre-headless maven)"}
		}
	}
	out, err := exec.CommandContext(ctx, path, "-version").CombinedOutput() //nolint:gosec // the user's own Java
	if err != nil {
		return "", &NotRunError{fmt.Sprintf("%s -version: %v: %s", path, err, firstLine(out))}
	}
	if v := javaVersion(string(out)); v < minJava {
		return "", &NotRunError{fmt.Sprintf("%s is Java %d, Kafka wants %d (JAVA_HOME names another one)", path, v, minJava)}
	}
	return path, nil
}

var quotedVersion = regexp.MustCompile(`version "(?:1\.)?(\d+)`)

// javaVersion reads the major version out of what `java -version` prints; 0
// if it is not there.
func javaVersion(text string) int {
	m := quotedVersion.FindStringSubmatch(text)
	if m == nil {
		return 0
	}
	v, _ := strconv.Atoi(m[1]) // digits
	return v
}

// classpath returns the jars of the server. Maven resolves them once for each
// pom and keeps them in its own repository.
func classpath(ctx context.Context, dir string) (string, error) {
	sum := sha256.Sum256(pom)
	file := filepath.Join(dir, "classpath-"+hex.EncodeToString(sum[:6]))
	if text, err := os.ReadFile(file); err == nil && present(string(text)) {
		return strings.TrimSpace(string(text)), nil
	}
	if _, err := exec.LookPath("mvn"); err != nil {
		return "", &NotRunError{"no Maven on this machine (Debian: apt-get install maven)"}
	}
	pomFile := filepath.Join(dir, "pom.xml")
	if err := os.WriteFile(pomFile, pom, 0o600); err != nil {
		return "", err
	}
	temporary := file + ".new"
	cmd := exec.CommandContext(ctx, "mvn", "-B", "-q", "-f", pomFile, "dependency:build-classpath", "-Dmdep.outputFile="+temporary)
	if out, err := cmd.CombinedOutput(); err != nil {
		if ctx.Err() != nil {
			return "", ctx.Err()
		}
		return "", &NotRunError{fmt.Sprintf("Maven could not fetch Kafka's jars: %s", firstLine(out))}
	}
	text, err := os.ReadFile(temporary)
	if err != nil {
		return "", err
	}
	return strings.TrimSpace(string(text)), os.Rename(temporary, file)
}

// present reports whether every jar is still where it was.
func present(classpath string) bool {
	for _, jar := range filepath.SplitList(strings.TrimSpace(classpath)) {
		if _, err := os.Stat(jar); err != nil {
			return false
		}
	}
	return classpath != ""
}

func firstLine(out []byte) string {
	for line := range strings.Lines(string(out)) {
		if line = strings.TrimSpace(line); line != "" {
			return line
		}
	}
	return "it said nothing"
}

// IsNotRun reports whether err says that Kafka cannot run here.
func IsNotRun(err error) bool {
	var e *NotRunError
	return errors.As(err, &e)
}
