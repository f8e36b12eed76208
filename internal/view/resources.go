package view

import (
	"github.com/taskiam/taskiam/internal/resource"
)

// Resources is what `resources --json` prints.
type Resources struct {
	Schema string         `json:"schema"` // taskiam.resources/v1
	Types  []ResourceType `json:"types"`
}

// ResourceType is a type of resource that roles can be granted on.
type ResourceType struct {
	ID             string `json:"id"` // Google's, of the methods without the verb
	Kind           string `json:"kind"`
	API            string `json:"api"` // what the project must have enabled
	FullName       string `json:"full_name"`
	Example        string `json:"example"`
	Bindable       bool   `json:"bindable"`          // whether it has a policy of its own that can be written
	Conditions     bool   `json:"conditions"`        // whether that takes conditions
	SuppliesName   bool   `json:"resource_name"`     // whether conditions see resource.name
	NumbersProject bool   `json:"by_number"`         // whether the project in that is its number
	ConditionType  string `json:"resource_type"`     // as conditions see it; "" if they do not
	Provable       bool   `json:"provable"`          // whether Google can be asked, as the account, if a grant works
	Version        string `json:"policy_version_in"` // where a read asks for policy version 3; "" where it cannot
}

// NewResources returns the document of types of resources.
func NewResources(types []*resource.Type) Resources {
	doc := Resources{Schema: "taskiam.resources/v1", Types: []ResourceType{}}
	for _, t := range types {
		doc.Types = append(doc.Types, ResourceType{
			ID: t.ID, Kind: t.Kind, API: t.Service, FullName: "//" + t.Service + "/" + t.Pattern, Example: t.Example,
			Bindable: t.Bindable(), Conditions: t.Conditions,
			SuppliesName: t.SuppliesName, NumbersProject: t.NumbersProject,
			ConditionType: t.ConditionType, Provable: t.API.TestPath != "", Version: string(t.API.VersionIn),
		})
	}
	return doc
}

// Show adds a line for each type to a report.
func (d Resources) Show(r *Report) {
	r.Row("KIND", "CONDITIONS", "EXAMPLE")
	for _, t := range d.Types {
		conditions := "no"
		switch {
		case !t.Bindable:
			conditions = "none"
		case t.Conditions:
			conditions = "yes"
		}
		r.Row(t.Kind, conditions, t.Example)
	}
}
