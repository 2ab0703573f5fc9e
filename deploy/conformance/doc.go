// Command conformance runs the test suites and clients of strangers against the
// broker and prints a table of what passed, failed, was left out and was not run,
// each with its reason:
//
//	make conformance                 all of them, with 500,000 records for franz-go's: about 20 minutes
//	make conformance SUITE=kgo       one; SUITE=kgo,kcat several
//
// Suites are fetched by the package managers they live in — Go's module proxy,
// npm, PyPI, Maven — at the versions named in suites.go, compiled where those keep
// them, and never copied into the repository; what is built is in .bin/conformance.
// clients/ has short programs of our own that put a client through its paces. A
// tool that this machine lacks is reported as not run, which is no failure.
//
// leftout.txt lists the tests of the suites that are not run, with the reasons. A line
// that leaves out no test is a failure of its suite.
package main
