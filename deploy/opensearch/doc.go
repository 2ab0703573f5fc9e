// Package opensearch runs OpenSearch on this machine, without Docker and
// without a download of its own: Maven fetches the project's smallest
// distribution (the server and its HTTP transport, no plugin) as it fetches any
// library, and Java runs it. It is for the contract tests of search-sync and the
// demo on OpenSearch.
//
// One node listens on loopback, by default on a free port, and asks nobody who
// is calling. OpenSearch does not run as root: started by root it gets an
// account without rights, and where that account cannot reach the directory, its
// files are under /var/lib/quokka. The server outlives the program that started
// it; what is known of it is in its directory:
//
//	.quokka/opensearch/server.log, pid, port, home (where its files are)
//
// The command is run (make opensearch-up, make opensearch-down):
//
//	go run ./deploy/opensearch/run up | down | kill | start
package opensearch
