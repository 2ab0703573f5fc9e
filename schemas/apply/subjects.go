package apply

import (
	"context"
	"errors"
	"fmt"

	"github.com/quokka-stream/quokka/schemas"
	"github.com/quokka-stream/quokka/schemas/codec"
	"github.com/quokka-stream/quokka/schemas/events"
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
		a.differ("subject "+subject, "%s", a.refused(ctx, subject, own, err))
		return nil
	}
	if err != nil {
		return err
	}
	a.log.InfoContext(ctx, "schema registered", "subject", subject, "schema", name, "id", got.ID)
	return nil
}

// refused says why a schema was refused: the first difference to the latest
// version, and the registry's own words.
func (a *applier) refused(ctx context.Context, subject string, own *codec.Schema, err error) string {
	var e *rest.Error
	errors.As(err, &e)
	latest, verr := a.registry.Version(ctx, subject, 0)
	if verr != nil {
		return "the registry refuses the schema: " + e.Message
	}
	text := fmt.Sprintf("the registry refuses the schema after version %d", latest.Version)
	if theirs, perr := codec.Parse(latest.Text); perr == nil {
		if d, differs := codec.Diff(own, theirs); differs {
			text += fmt.Sprintf(", at field %q this program has %s", d.Path, d.Detail)
		}
	}
	return text + ": " + e.Message
}
