// Package commitlog stores one partition as a log of segments in Kafka's own file
// format, and rebuilds all that follows from the bytes: indexes, producer state,
// open transactions, leader epochs.
//
// The log appends batches that already passed record.Validate and gives them
// offset and leader epoch. It knows nothing of clusters, replicas or requests.
package commitlog
