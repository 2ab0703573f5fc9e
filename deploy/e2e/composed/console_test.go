package composed

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/http"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/quokka-stream/quokka/schemas"
)

// checkConsole asks broker and registry what Redpanda Console and Kafbat UI ask
// to fill their pages, while the platform is at work: every answer is there, and
// tells of the platform's topics and groups.
func checkConsole(t *testing.T, e *engine) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	client, err := kgo.NewClient(kgo.SeedBrokers("127.0.0.1:" + e.port("broker", "9092")))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	for page, err := range brokerPages(ctx, client, kadm.NewClient(client)) {
		if err != nil {
			t.Errorf("a console's page on %s: %v", page, err)
		}
	}
	registry := "http://127.0.0.1:" + e.port("registry", "8081")
	subject := schemas.Topics()[0].Name + "-quokka.order.v1.OrderPlaced"
	for _, path := range []string{
		"/subjects", "/subjects?deleted=true", "/schemas/types", "/schemas", "/config", "/mode", "/contexts",
		"/subjects/" + subject + "/versions", "/subjects/" + subject + "/versions/latest", "/subjects/" + subject + "/versions/1/referencedby",
		"/config/" + subject + "?defaultToGlobal=true", "/mode/" + subject + "?defaultToGlobal=true", "/schemas/ids/1", "/schemas/ids/1/versions", "/schemas/ids/1/subjects",
	} {
		if err := asks(ctx, registry+path); err != nil {
			t.Errorf("a console's page on schemas: %v", err)
		}
	}
}

// asks wants JSON from an address.
func asks(ctx context.Context, address string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	var v any
	if err := json.NewDecoder(resp.Body).Decode(&v); err != nil {
		return fmt.Errorf("%s: %s: %w", address, resp.Status, err)
	}
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s: %v", address, resp.Status, v)
	}
	return nil
}

// brokerPages are the requests behind each page.
func brokerPages(ctx context.Context, client *kgo.Client, admin *kadm.Client) map[string]error {
	var names []string
	for _, topic := range schemas.Topics() {
		names = append(names, topic.Name)
	}
	pages := map[string]error{}
	page := func(name string, errs ...error) { pages[name] = errors.Join(errs...) }

	versions, err := admin.ApiVersions(ctx)
	page("features", err, lacks(len(versions), "broker"))

	cluster := kmsg.NewPtrDescribeClusterRequest()
	cluster.IncludeClusterAuthorizedOperations = true
	described, err := cluster.RequestWith(ctx, client)
	page("the cluster", err)
	if err == nil {
		page("the cluster", lacks(len(described.Brokers), "broker"), refused(described.ErrorCode), authorized(described.ClusterAuthorizedOperations))
	}
	brokers, err := admin.ListBrokers(ctx)
	page("brokers", err, lacks(len(brokers), "broker"))
	configs, err := admin.DescribeBrokerConfigs(ctx, brokers.NodeIDs()...)
	page("a broker's configuration", err, lacks(len(configs), "configuration"))

	metadata := kmsg.NewPtrMetadataRequest()
	metadata.IncludeTopicAuthorizedOperations = true
	all, err := metadata.RequestWith(ctx, client)
	page("topics", err)
	if err == nil {
		page("topics", lacks(len(all.Topics)/len(names), "topic"), authorized(all.Topics[0].AuthorizedOperations))
	}
	configs, err = admin.DescribeTopicConfigs(ctx, names...)
	page("topics' configuration", err, lacks(len(configs)/len(names), "configuration"))
	dirs, err := admin.DescribeAllLogDirs(ctx, nil)
	var size int64
	dirs.Each(func(d kadm.DescribedLogDir) {
		err = errors.Join(err, d.Err)
		for _, p := range d.Topics["orders.v1"] {
			size += p.Size
		}
	})
	page("disk space", err, lacks(int(size), "byte of orders.v1"))
	starts, err := admin.ListStartOffsets(ctx, names...)
	page("first offsets", err, starts.Error())
	ends, err := admin.ListEndOffsets(ctx, names...)
	page("end offsets", err, ends.Error())
	at, err := admin.ListOffsetsAfterMilli(ctx, time.Now().Add(-time.Minute).UnixMilli(), names...)
	page("offsets by time", err, at.Error())
	newest, err := admin.ListMaxTimestampOffsets(ctx, names...)
	page("newest records", err, newest.Error())
	producers, err := admin.DescribeProducers(ctx, kadm.TopicsSet{"orders.v1": {0: {}}})
	page("producers", err, lacks(len(producers), "topic"))
	transactions, err := admin.ListTransactions(ctx, nil, nil)
	page("transactions", err)
	if ids := transactions.TransactionalIDs(); err == nil && len(ids) > 0 {
		_, err = admin.DescribeTransactions(ctx, ids...)
		page("a transaction", err)
	}

	groups, err := admin.ListGroups(ctx)
	page("groups", err, lacks(len(groups)/4, "group"))
	lags, err := admin.Lag(ctx, groups.Groups()...)
	page("groups' lag", err, lags.Error())
	describe := kmsg.NewPtrDescribeGroupsRequest()
	describe.Groups, describe.IncludeAuthorizedOperations = []string{"inventory"}, true
	group, err := describe.RequestWith(ctx, client)
	page("a group", err)
	if err == nil {
		page("a group", refused(group.Groups[0].ErrorCode), lacks(len(group.Groups[0].Members), "member"), authorized(group.Groups[0].AuthorizedOperations))
	}

	quorum := kmsg.NewPtrDescribeQuorumRequest()
	quorum.Topics = []kmsg.DescribeQuorumRequestTopic{{Topic: "__cluster_metadata", Partitions: []kmsg.DescribeQuorumRequestTopicPartition{{}}}}
	voters, err := quorum.RequestWith(ctx, client)
	page("the quorum", err)
	if err == nil {
		page("the quorum", refused(voters.ErrorCode))
	}
	_, err = admin.ListPartitionReassignments(ctx, nil)
	page("reassignments", err)
	// Client quotas are not among the features, so consoles leave their page out.
	_, err = admin.DescribeUserSCRAMs(ctx)
	page("users", err)
	_, err = admin.DescribeACLs(ctx, kadm.NewACLs().AnyResource().ResourcePatternType(kadm.ACLPatternAny).Operations().Allow().Deny().AllowHosts().DenyHosts())
	page("ACLs", err)
	return pages
}

// refused turns an error code into an error.
func refused(code int16) error { return kerr.ErrorForCode(code) }

// authorized: the bits of what the client may do are filled in; the protocol's
// default says that nobody asked.
func authorized(operations int32) error {
	if operations == math.MinInt32 {
		return errors.New("it does not say what the client may do")
	}
	return nil
}

func lacks(n int, what string) error {
	if n == 0 {
		return fmt.Errorf("it shows no %s, or not all", what)
	}
	return nil
}
