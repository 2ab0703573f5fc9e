// Package diff holds no code, only tests: the same sequences of requests go to
// this broker and to a real Apache Kafka, and the answers are compared field by
// field.
//
// A scenario asks raw requests, one for each thing that clients rely on; others
// are generated from seeds. Its transcript has a line for each field that is not
// zero, with what may differ between any two servers — ids, hosts, timestamps,
// throttling, error text, the order of arrays — replaced by the rules of one
// table (rules_test.go). Everything else must be equal; a difference that we want
// is in testdata/differences.txt with its reason, and one listed there that no
// longer shows is a failure as well.
//
// What Apache Kafka answered is kept in testdata/golden, so that the tests need
// none. With a Kafka at hand (make diff-kafka starts one) they ask it again:
//
//	QUOKKA_DIFF_KAFKA=127.0.0.1:29092 go test ./internal/diff            compares with it, and with more seeds
//	QUOKKA_DIFF_KAFKA=127.0.0.1:29092 go test ./internal/diff -rewrite   writes the golden files
package diff
