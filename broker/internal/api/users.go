package api

import (
	"context"
	"maps"
	"slices"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/quokka-stream/quokka/broker/internal/auth"
	"github.com/quokka-stream/quokka/broker/internal/cluster"
	"github.com/quokka-stream/quokka/broker/internal/errcode"
)

func (h *Handler) describeUserSCRAM(_ context.Context, c *call, kreq kmsg.Request) (kmsg.Response, error) {
	req := kreq.(*kmsg.DescribeUserSCRAMCredentialsRequest)
	resp := req.ResponseKind().(*kmsg.DescribeUserSCRAMCredentialsResponse)
	if !h.allowed(c, auth.Describe, auth.Cluster, auth.ClusterName) {
		resp.ErrorCode = errcode.ClusterAuthorizationFailed
		return resp, nil
	}
	names := map[string]int{}
	for _, u := range req.Users {
		names[u.Name]++
	}
	if len(req.Users) == 0 {
		for name := range c.img.Users {
			names[name] = 1
		}
	}
	for _, name := range slices.Sorted(maps.Keys(names)) {
		out := kmsg.NewDescribeUserSCRAMCredentialsResponseResult()
		out.User = name
		user, ok := c.img.Users[name]
		switch {
		case names[name] > 1:
			user = nil
			out.ErrorCode, out.ErrorMessage = errcode.DuplicateResource, kmsg.StringPtr("Cannot describe SCRAM credentials for the same user twice in a single request: "+name)
		case !ok:
			out.ErrorCode, out.ErrorMessage = errcode.ResourceNotFound, kmsg.StringPtr("Attempt to describe a user credential that does not exist: "+name)
		}
		for _, m := range slices.Sorted(maps.Keys(user)) {
			out.CredentialInfos = append(out.CredentialInfos, kmsg.DescribeUserSCRAMCredentialsResponseResultCredentialInfo{Mechanism: m, Iterations: int32(user[m].Iterations)})
		}
		resp.Results = append(resp.Results, out)
	}
	return resp, nil
}

func (h *Handler) alterUserSCRAM(ctx context.Context, c *call, kreq kmsg.Request) (kmsg.Response, error) {
	req := kreq.(*kmsg.AlterUserSCRAMCredentialsRequest)
	resp := req.ResponseKind().(*kmsg.AlterUserSCRAMCredentialsResponse)
	allowed := h.allowed(c, auth.Alter, auth.Cluster, auth.ClusterName)
	type change struct {
		cmd cluster.Command
		err error
	}
	changes := map[string][]change{} // by user
	seen := map[string]bool{}
	add := func(user string, mechanism int8, cmd cluster.Command, err error) {
		m := auth.Mechanism(mechanism)
		key := user + "\x00" + m.String()
		switch {
		case !allowed:
			err = &cluster.Error{Code: errcode.ClusterAuthorizationFailed, Message: "Authorization failed."}
		case user == "":
			err = &cluster.Error{Code: errcode.UnacceptableCredential, Message: "Username must not be empty"}
		case m != auth.ScramSHA256 && m != auth.ScramSHA512:
			err = &cluster.Error{Code: errcode.UnsupportedSaslMechanism, Message: "Unknown SCRAM mechanism"}
		case seen[key]:
			err = &cluster.Error{Code: errcode.DuplicateResource, Message: "A user credential cannot be altered twice in the same request"}
		}
		seen[key] = true
		changes[user] = append(changes[user], change{cmd, err})
	}
	for _, d := range req.Deletions {
		add(d.Name, d.Mechanism, &cluster.DeleteCredential{User: d.Name, Mechanism: d.Mechanism}, nil)
	}
	for _, u := range req.Upsertions {
		var err error
		switch {
		case u.Iterations < auth.MinIterations:
			err = &cluster.Error{Code: errcode.UnacceptableCredential, Message: "Too few iterations"}
		case u.Iterations > auth.MaxIterations:
			err = &cluster.Error{Code: errcode.UnacceptableCredential, Message: "Too many iterations"}
		case len(u.Salt) == 0 || len(u.SaltedPassword) == 0:
			err = &cluster.Error{Code: errcode.UnacceptableCredential, Message: "Salt and password must not be empty"}
		}
		credential := auth.Derive(auth.Mechanism(u.Mechanism), u.SaltedPassword, u.Salt, int(u.Iterations))
		add(u.Name, u.Mechanism, &cluster.SetCredential{User: u.Name, Mechanism: u.Mechanism, Credential: credential}, err)
	}
	for _, user := range slices.Sorted(maps.Keys(changes)) {
		out := kmsg.NewAlterUserSCRAMCredentialsResponseResult()
		out.User = user
		var err error
		var cmds []cluster.Command
		for _, ch := range changes[user] {
			if err == nil {
				err = ch.err
			}
			cmds = append(cmds, ch.cmd)
		}
		if err == nil {
			err = h.cluster.Propose(ctx, cmds...)
		}
		out.ErrorCode, out.ErrorMessage = h.code(err)
		resp.Results = append(resp.Results, out)
	}
	return resp, nil
}
