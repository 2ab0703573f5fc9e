package registry_test

import (
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/riferrei/srclient"
	"github.com/twmb/franz-go/pkg/sr"
)

// The clients here were not written for this registry: what they make of its
// answers is what users get.

const (
	clientV1  = `{"type":"record","name":"R","namespace":"n","fields":[{"name":"a","type":"int"}]}`
	clientV2  = `{"type":"record","name":"R","namespace":"n","fields":[{"name":"a","type":"int"},{"name":"b","type":"int","default":0}]}`
	clientBad = `{"type":"record","name":"R","namespace":"n","fields":[{"name":"a","type":"string"}]}`
)

// TestSrclient goes through what riferrei/srclient can do.
func TestSrclient(t *testing.T) {
	s := newKafka(t).open(t)
	client := &http.Client{}
	t.Cleanup(client.CloseIdleConnections)
	c := srclient.NewSchemaRegistryClient("http://"+s.Addr(), srclient.WithClient(client))
	c.CachingEnabled(false)
	const subject = "or/ders value"

	v1, err := c.CreateSchema(subject, clientV1, srclient.Avro)
	if err != nil {
		t.Fatal(err)
	}
	if v1.ID() != 1 || v1.Schema() != clientV1 {
		t.Errorf("created %d %s", v1.ID(), v1.Schema())
	}
	if _, err = c.CreateSchema(subject, clientV2, srclient.Avro); err != nil {
		t.Fatal(err)
	}
	var refused srclient.Error
	if _, err = c.CreateSchema(subject, clientBad, srclient.Avro); !errors.As(err, &refused) || refused.Code != 409 {
		t.Errorf("incompatible: %v", err)
	}
	if ok, err := c.IsSchemaCompatible(subject, clientBad, "latest", srclient.Avro); ok || err != nil {
		t.Errorf("compatible %v, %v", ok, err)
	}
	if ok, err := c.IsSchemaCompatible(subject, clientV2, "1", srclient.Avro); !ok || err != nil {
		t.Errorf("compatible %v, %v", ok, err)
	}
	found, err := c.LookupSchema(subject, clientV1, srclient.Avro)
	if err != nil || found.ID() != 1 || found.Version() != 1 {
		t.Errorf("look-up: %+v, %v", found, err)
	}
	latest, err := c.GetLatestSchema(subject)
	if err != nil || latest.Version() != 2 || latest.ID() != 2 || *latest.SchemaType() != srclient.Avro {
		t.Errorf("latest: %+v, %v", latest, err)
	}
	if byID, err := c.GetSchema(2); err != nil || byID.Schema() != clientV2 {
		t.Errorf("by id: %+v, %v", byID, err)
	}
	if versions, err := c.GetSchemaVersions(subject); err != nil || !slices.Equal(versions, []int{1, 2}) {
		t.Errorf("versions %v, %v", versions, err)
	}
	if usages, err := c.GetSubjectVersionsById(1); err != nil || len(usages) != 1 || usages[0].Version != 1 {
		t.Errorf("usages %v, %v", usages, err)
	}

	full := srclient.FullTransitive
	if level, err := c.ChangeSubjectCompatibilityLevel(subject, full); err != nil || *level != full {
		t.Errorf("level: %v, %v", level, err)
	}
	if level, err := c.GetCompatibilityLevel(subject, false); err != nil || *level != full {
		t.Errorf("level: %v, %v", level, err)
	}
	if level, err := c.GetGlobalCompatibilityLevel(); err != nil || *level != srclient.Backward {
		t.Errorf("global level: %v, %v", level, err)
	}
	// It sends this subject encoded as a query, with a + for the space.
	if _, err := c.DeleteSubjectCompatibilityLevel(subject); err != nil {
		t.Errorf("delete the level: %v", err)
	}
	if _, err := c.GetCompatibilityLevel(subject, false); err == nil {
		t.Error("the level is still there")
	}

	if _, err := c.CreateSchema("list", `{"type":"array","items":"n.R"}`, srclient.Avro, srclient.Reference{Name: "n.R", Subject: subject, Version: 2}); err != nil {
		t.Errorf("reference: %v", err)
	}
	if err := c.DeleteSubjectByVersion(subject, 2, false); err == nil || !strings.Contains(err.Error(), "references exist") {
		t.Errorf("deleted a referenced version: %v", err)
	}
	for _, permanent := range []bool{false, true} {
		if err := c.DeleteSubject("list", permanent); err != nil {
			t.Error(err)
		}
	}
	if err := c.DeleteSubjectByVersion(subject, 1, false); err != nil {
		t.Error(err)
	}
	if err := c.DeleteSubject(subject, false); err != nil {
		t.Error(err)
	}
	if subjects, err := c.GetSubjects(); err != nil || len(subjects) != 0 {
		t.Errorf("subjects %v, %v", subjects, err)
	}
	if subjects, err := c.GetSubjectsIncludingDeleted(); err != nil || !slices.Equal(subjects, []string{subject}) {
		t.Errorf("deleted subjects %v, %v", subjects, err)
	}
	if _, err := c.GetLatestSchema("none"); !errors.As(err, &refused) || refused.Code != 40401 {
		t.Errorf("unknown subject: %v", err)
	}
	if _, err := c.GetSchema(99); !errors.As(err, &refused) || refused.Code != 40403 {
		t.Errorf("unknown id: %v", err)
	}
}

// TestFranzGo goes through what franz-go's client can do.
func TestFranzGo(t *testing.T) {
	s := newKafka(t).open(t)
	client := &http.Client{}
	t.Cleanup(client.CloseIdleConnections)
	c, err := sr.NewClient(sr.URLs(s.Addr()), sr.HTTPClient(client))
	if err != nil {
		t.Fatal(err)
	}
	ctx := t.Context()
	v1, v2 := sr.Schema{Schema: clientV1}, sr.Schema{Schema: clientV2}

	first, err := c.CreateSchema(ctx, "s", v1)
	if err != nil || first.ID != 1 || first.Version != 1 {
		t.Fatalf("%+v, %v", first, err)
	}
	if second, err := c.CreateSchema(ctx, "s", v2); err != nil || second.ID != 2 || second.Version != 2 {
		t.Fatalf("%+v, %v", second, err)
	}
	if _, err = c.CreateSchema(ctx, "s", sr.Schema{Schema: clientBad}); !isCode(err, sr.ErrIncompatibleSchema) {
		t.Errorf("incompatible: %v", err)
	}
	check, err := c.CheckCompatibility(sr.WithParams(ctx, sr.Verbose), "s", -1, sr.Schema{Schema: clientBad})
	if err != nil || check.Is || len(check.Messages) != 4 {
		t.Errorf("check: %+v, %v", check, err)
	}
	if check, err = c.CheckCompatibility(ctx, "s", -2, v2); err != nil || !check.Is {
		t.Errorf("check with all: %+v, %v", check, err)
	}
	if found, err := c.LookupSchema(ctx, "s", v1); err != nil || found.Version != 1 || found.GUID == "" {
		t.Errorf("look-up: %+v, %v", found, err)
	}
	byGUID, err := c.SchemaByGUID(ctx, first.GUID)
	if err != nil || byGUID.Schema.Schema != clientV1 {
		t.Errorf("by guid: %+v, %v", byGUID, err)
	}
	if ids, err := c.SchemaIDsByGUID(ctx, first.GUID); err != nil || len(ids) != 1 || ids[0].ID != 1 {
		t.Errorf("ids of a guid: %+v, %v", ids, err)
	}
	if text, err := c.SchemaTextByID(ctx, 2); err != nil || text != clientV2 {
		t.Errorf("text by id: %s, %v", text, err)
	}
	if text, err := c.SchemaTextByVersion(ctx, "s", 1); err != nil || text != clientV1 {
		t.Errorf("text by version: %s, %v", text, err)
	}
	if schema, err := c.SchemaByID(ctx, 2); err != nil || schema.Schema != clientV2 {
		t.Errorf("by id: %+v, %v", schema, err)
	}
	if latest, err := c.SchemaByVersion(ctx, "s", -1); err != nil || latest.ID != 2 {
		t.Errorf("latest: %+v, %v", latest, err)
	}
	ref := sr.Schema{Schema: `{"type":"array","items":"n.R"}`, References: []sr.SchemaReference{{Name: "n.R", Subject: "s", Version: 2}}}
	if _, err := c.CreateSchema(ctx, "list", ref); err != nil {
		t.Errorf("reference: %v", err)
	}
	if refs, err := c.SchemaReferences(ctx, "s", 2); err != nil || len(refs) != 1 || refs[0].Subject != "list" {
		t.Errorf("referrers: %+v, %v", refs, err)
	}
	if _, err := c.DeleteSubject(ctx, "s", sr.SoftDelete); !isCode(err, sr.ErrReferenceExists) {
		t.Errorf("delete a referenced subject: %v", err)
	}
	if usages, err := c.SchemaUsagesByID(ctx, 2); err != nil || len(usages) != 1 {
		t.Errorf("usages: %+v, %v", usages, err)
	}
	if subjects, err := c.SubjectsByID(ctx, 1); err != nil || !slices.Equal(subjects, []string{"s"}) {
		t.Errorf("subjects by id: %v, %v", subjects, err)
	}
	if versions, err := c.SchemaVersionsByID(ctx, 2); err != nil || len(versions) != 1 || versions[0].Version != 2 {
		t.Errorf("versions by id: %v, %v", versions, err)
	}
	if all, err := c.AllSchemas(ctx); err != nil || len(all) != 3 {
		t.Errorf("all schemas: %d, %v", len(all), err)
	}
	if types, err := c.SupportedTypes(ctx); err != nil || len(types) != 1 || types[0] != sr.TypeAvro {
		t.Errorf("types: %v, %v", types, err)
	}

	for _, r := range c.SetCompatibility(ctx, sr.SetCompatibility{Level: sr.CompatFullTransitive}, "s", "") {
		if r.Err != nil || r.Level != sr.CompatFullTransitive {
			t.Errorf("set the level of %q: %+v", r.Subject, r)
		}
	}
	for _, r := range c.Compatibility(ctx, "s", "list", "") {
		if want := sr.CompatFullTransitive; r.Subject != "list" && (r.Err != nil || r.Level != want) {
			t.Errorf("level of %q: %+v", r.Subject, r)
		}
	}
	for _, r := range c.ResetCompatibility(ctx, "s") {
		if r.Err != nil {
			t.Errorf("reset: %+v", r)
		}
	}
	for _, r := range c.SetMode(ctx, sr.ModeReadOnly, "s") {
		if r.Err != nil {
			t.Errorf("mode: %+v", r)
		}
	}
	if _, err := c.CreateSchema(ctx, "s", sr.Schema{Schema: `"int"`}); !isCode(err, sr.ErrOperationNotPermitted) {
		t.Errorf("read-only: %v", err)
	}
	for _, r := range c.Mode(ctx, "s", "") {
		if want := map[string]sr.Mode{"s": sr.ModeReadOnly, "": sr.ModeReadWrite}[r.Subject]; r.Err != nil || r.Mode != want {
			t.Errorf("mode of %q: %+v", r.Subject, r)
		}
	}
	for _, r := range c.ResetMode(ctx, "s") {
		if r.Err != nil {
			t.Errorf("mode: %+v", r)
		}
	}
	for _, r := range c.SetMode(ctx, sr.ModeImport, "copy") {
		if r.Err != nil {
			t.Errorf("mode: %+v", r)
		}
	}
	if copied, err := c.CreateSchemaWithIDAndVersion(ctx, "copy", sr.Schema{Schema: `"long"`}, 77, 5); err != nil || copied.ID != 77 || copied.Version != 5 {
		t.Errorf("import: %+v, %v", copied, err)
	}

	if err := c.DeleteSchema(ctx, "list", 1, sr.SoftDelete); err != nil {
		t.Error(err)
	}
	if _, err := c.SchemaByVersion(sr.WithParams(ctx, sr.ShowDeleted), "list", 1); err != nil {
		t.Errorf("deleted version: %v", err)
	}
	if err := c.DeleteSchema(ctx, "list", 1, sr.HardDelete); err != nil {
		t.Error(err)
	}
	if deleted, err := c.DeleteSubject(ctx, "s", sr.SoftDelete); err != nil || !slices.Equal(deleted, []int{1, 2}) {
		t.Errorf("deleted %v, %v", deleted, err)
	}
	if subjects, err := c.Subjects(sr.WithParams(ctx, sr.ShowDeleted)); err != nil || !slices.Equal(subjects, []string{"copy", "s"}) {
		t.Errorf("subjects %v, %v", subjects, err)
	}
	if id, err := c.RegisterSchema(ctx, ":.team:s", v1, -1, -1); err != nil || id != 1 {
		t.Errorf("context: %d, %v", id, err)
	}
	if contexts, err := c.Contexts(ctx); err != nil || !slices.Equal(contexts, []string{".", ".team"}) {
		t.Errorf("contexts %v, %v", contexts, err)
	}
	if _, err := c.SubjectVersions(ctx, "none"); !isCode(err, sr.ErrSubjectNotFound) {
		t.Errorf("unknown subject: %v", err)
	}
}

func isCode(err error, want *sr.Error) bool {
	var r *sr.ResponseError
	return errors.As(err, &r) && r.SchemaError() == want
}
