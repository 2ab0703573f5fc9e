package platform

import (
	"context"
	"fmt"
	"slices"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/quokka-stream/quokka/schemas"
)

// evictPredecessors removes the members that a killed predecessor left in the
// groups of the embedded broker. They cannot be alive: they ran in the process
// that had the data directory before. Without this their partitions would wait
// for the session timeout. A member that runs elsewhere after all joins again at
// once.
func (p *Platform) evictPredecessors(ctx context.Context) error {
	client, err := kgo.NewClient(kgo.SeedBrokers(p.at.Kafka...), kgo.ClientID("quokka"))
	if err != nil {
		return err
	}
	defer client.Close()
	var groups []string
	for _, t := range schemas.Topics() {
		groups = append(groups, t.Groups...)
	}
	slices.Sort(groups)
	describe := kmsg.NewPtrDescribeGroupsRequest()
	describe.Groups = slices.Compact(groups)
	for _, shard := range client.RequestSharded(ctx, describe) {
		if shard.Err != nil {
			return fmt.Errorf("describe groups: %w", shard.Err)
		}
		for _, group := range shard.Resp.(*kmsg.DescribeGroupsResponse).Groups {
			if len(group.Members) == 0 {
				continue
			}
			leave := kmsg.NewPtrLeaveGroupRequest()
			leave.Group = group.Group
			for _, m := range group.Members {
				member := kmsg.NewLeaveGroupRequestMember()
				member.MemberID, member.InstanceID = m.MemberID, m.InstanceID
				leave.Members = append(leave.Members, member)
			}
			if _, err := leave.RequestWith(ctx, client); err != nil {
				return fmt.Errorf("remove the old members of group %s: %w", group.Group, err)
			}
			p.log.Info("members of a killed predecessor removed", "group", group.Group, "members", len(group.Members))
		}
	}
	return nil
}
