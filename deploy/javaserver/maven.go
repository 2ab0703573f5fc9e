package javaserver

import (
	"context"
	"crypto/sha256"
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

// NotRunError says that this machine cannot run a server, and what it lacks.
type NotRunError struct{ Reason string }

func (e *NotRunError) Error() string { return "not run: " + e.Reason }

// IsNotRun reports whether err says that the server cannot run here.
func IsNotRun(err error) bool {
	var e *NotRunError
	return errors.As(err, &e)
}

// Versions are those of Java that a server runs on.
type Versions struct {
	Oldest int
	Newest int // 0: any
}

// Java finds a Java for the server.
func Java(ctx context.Context, server string, wanted Versions) (string, error) {
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
	switch v := javaVersion(string(out)); {
	case v < wanted.Oldest:
		return "", &NotRunError{fmt.Sprintf("%s is Java %d, %s wants %d (JAVA_HOME names another one)", path, v, server, wanted.Oldest)}
	case wanted.Newest > 0 && v > wanted.Newest:
		return "", &NotRunError{fmt.Sprintf("%s is Java %d, %s wants %d to %d (JAVA_HOME names another one)", path, v, server, wanted.Oldest, wanted.Newest)}
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

// Resolve returns the files of a pom's dependencies, as a class path. Maven
// resolves them once for each pom and keeps them in its own repository; dir
// remembers where.
func Resolve(ctx context.Context, server, dir string, pom []byte) (string, error) {
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
		return "", &NotRunError{fmt.Sprintf("Maven could not fetch %s: %s", server, firstLine(out))}
	}
	text, err := os.ReadFile(temporary)
	if err != nil {
		return "", err
	}
	return strings.TrimSpace(string(text)), os.Rename(temporary, file)
}

// present reports whether every file is still where it was.
func present(classpath string) bool {
	for _, jar := range filepath.SplitList(strings.TrimSpace(classpath)) {
		if _, err := os.Stat(jar); err != nil {
			return false
		}
	}
	return classpath != ""
}

// Property reads a property out of a pom: versions are there and nowhere else.
func Property(pom []byte, name string) string {
	_, rest, _ := strings.Cut(string(pom), "<"+name+">")
	value, _, _ := strings.Cut(rest, "<")
	return value
}

func firstLine(out []byte) string {
	for line := range strings.Lines(string(out)) {
		if line = strings.TrimSpace(line); line != "" {
			return line
		}
	}
	return "it said nothing"
}
