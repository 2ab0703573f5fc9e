package apply

import (
	"context"
	"fmt"

	"github.com/quokka-stream/quokka/schemas"
	"github.com/quokka-stream/quokka/schemas/events"
	"github.com/quokka-stream/quokka/schemas/internal/refusal"
	"github.com/quokka-stream/quokka/schemas/internal/rest"
)

// applySubjects sets every subject's compatibility level, then registers the
// schemas. The level is always set on the subject itself, also where it is the
// registry's default, and for subjects that get their schemas at run time:
// some registries do not enforce a default, and a default may change.
func (a *applier) applySubjects(ctx context.Context) error {
	for _, topic := range a.topics {
		for _, subject := range topic.SubjectNames() {
			if err := a.applyLevel(ctx, subject, topic.Compatibility); err != nil {
				return err
			}
		}
		for _, name := range topic.Schemas {
			if err := a.applySchema(ctx, topic, name); err != nil {
				return err
			}
		}
	}
	return nil
}

func (a *applier) applyLevel(ctx context.Context, subject, want string) error {
	have, err := a.registry.Compatibility(ctx, subject)
	if err != nil && !rest.IsNotFound(err) {
		return err
	}
	if have == want {
		return nil
	}
	if err := a.registry.SetCompatibility(ctx, subject, want); err != nil {
		return err
	}
	a.log.InfoContext(ctx, "compatibility set", "subject", subject, "level", want, "was", have)
	return nil
}

func (a *applier) applySchema(ctx context.Context, topic schemas.Topic, name string) error {
	subject := topic.Subject(name)
	own, ok := events.Schema(name)
	if !ok {
		return fmt.Errorf("topic %s declares %s, which is not an event of this program", topic.Name, name)
	}
	if _, err := a.registry.Lookup(ctx, subject, own.String()); err == nil {
		return nil
	} else if !rest.IsNotFound(err) {
		return err
	}
	got, err := a.registry.Register(ctx, subject, own.String())
	if rest.IsConflict(err) {
		a.differ("subject "+subject, "refuses the schema of this program as incompatible: %s", refusal.Explain(ctx, a.registry, subject, own, err))
		return nil
	}
	if err != nil {
		return err
	}
	a.log.InfoContext(ctx, "schema registered", "subject", subject, "schema", name, "id", got.ID)
	return nil
}
