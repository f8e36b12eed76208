package bigquery

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/taskiam/taskiam/emulator/internal/iam"
	"github.com/taskiam/taskiam/emulator/internal/wire"
	"github.com/taskiam/taskiam/internal/lazy"
)

// datasetReference names a dataset.
type datasetReference struct {
	ProjectID string `json:"projectId"`
	DatasetID string `json:"datasetId"`
}

// datasetResource is a dataset as the API writes it.
type datasetResource struct {
	Kind         string            `json:"kind"`
	Etag         string            `json:"etag,omitempty"`
	ID           string            `json:"id"`
	SelfLink     string            `json:"selfLink,omitempty"`
	Reference    datasetReference  `json:"datasetReference"`
	FriendlyName string            `json:"friendlyName,omitempty"`
	Description  string            `json:"description,omitempty"`
	Labels       map[string]string `json:"labels,omitempty"`
	Access       []accessEntry     `json:"access,omitempty"`
	Created      int64             `json:"creationTime,string,omitempty"`
	Modified     int64             `json:"lastModifiedTime,string,omitempty"`
	Location     string            `json:"location"`
	Type         string            `json:"type,omitempty"`
	TimeTravel   string            `json:"maxTimeTravelHours,omitempty"`
	AnyCase      *bool             `json:"isCaseInsensitive,omitempty"`
}

// defaultTimeTravel is for how many hours the past of a table can be read: a week.
const defaultTimeTravel = "168"

var bigqueryName = lazy.Regexp(`^[A-Za-z0-9_]+$`)

// bigqueryID reports whether a dataset, table or column may have the name.
func bigqueryID(name string) bool { return len(name) <= 1024 && bigqueryName().MatchString(name) }

// etag is an etag that no earlier state of the dataset had, nor of one that had its name before.
func (d *dataset) etag() string { return wire.CounterEtag(d.Created.UnixMicro(), d.Revision) }

func (d *dataset) touch(now time.Time) {
	d.Modified = now
	d.Revision++
}

func showDataset(c *wire.Call, d *dataset, version int) datasetResource {
	return datasetResource{
		Kind: "bigquery#dataset", Etag: d.etag(), ID: d.Project + ":" + d.ID,
		SelfLink:  c.BaseURL() + "/bigquery/v2/" + d.name(),
		Reference: datasetReference{d.Project, d.ID}, FriendlyName: d.FriendlyName, Description: d.Description,
		Labels: d.Labels,
		Access: d.readAccess(version), Created: d.Created.UnixMilli(), Modified: d.Modified.UnixMilli(),
		Location: d.Location, Type: "DEFAULT",
		TimeTravel: cmp.Or(d.TimeTravel, defaultTimeTravel), AnyCase: d.AnyCase,
	}
}

// newDataset returns a dataset that grants what access says.
func (st *state) newDataset(project, id, location string, access []accessEntry, now time.Time) *dataset {
	if st.Datasets == nil {
		st.Datasets = map[string]*dataset{}
	}
	d := &dataset{
		Project: project, ID: id, Location: cmp.Or(location, "US"), Created: now, Modified: now, Access: access,
		Tables: map[string]*table{},
	}
	st.Datasets[d.name()] = d
	return d
}

// datasetChange is what a request may say of a dataset. A field that is absent stays as it is, one that
// is null is emptied.
type datasetChange struct {
	Reference    datasetReference
	FriendlyName json.RawMessage
	Description  json.RawMessage
	Labels       json.RawMessage
	TimeTravel   string
	AnyCase      *bool
	Access       []json.RawMessage
	Location     string
}

func readDatasetChange(c *wire.Call) (datasetChange, error) {
	var in datasetChange
	var output any // what a client may send back as it read it
	err := c.DecodeKnown(c.Body, map[string]any{
		"datasetReference": &in.Reference, "friendlyName": &in.FriendlyName, "description": &in.Description,
		"labels": &in.Labels,
		"access": &in.Access, "location": &in.Location, "kind": &output, "etag": &output, "id": &output,
		"selfLink":     &output,
		"creationTime": &output, "lastModifiedTime": &output, "type": &output,
		"maxTimeTravelHours": &in.TimeTravel, "isCaseInsensitive": &in.AnyCase,
	})
	return in, err
}

// apply makes the change to what is not access.
func (in datasetChange) apply(d *dataset) error {
	d.TimeTravel = cmp.Or(in.TimeTravel, d.TimeTravel)
	if in.AnyCase != nil {
		d.AnyCase = in.AnyCase
	}
	for _, f := range []struct {
		raw  json.RawMessage
		into *string
	}{{in.FriendlyName, &d.FriendlyName}, {in.Description, &d.Description}} {
		if f.raw == nil {
			continue
		}
		var v *string
		if err := json.Unmarshal(f.raw, &v); err != nil {
			return invalidEntry("Invalid value: %v", err)
		}
		*f.into = ""
		if v != nil {
			*f.into = *v
		}
	}
	if in.Labels == nil {
		return nil
	}
	var labels map[string]*string // a null takes a label away
	if err := json.Unmarshal(in.Labels, &labels); err != nil {
		return invalidEntry("Invalid value for labels: %v", err)
	}
	next := maps.Clone(d.Labels)
	if next == nil || labels == nil {
		next = map[string]string{}
	}
	for k, v := range labels {
		if v == nil {
			delete(next, k)
		} else {
			next[k] = *v
		}
	}
	d.Labels = next
	return nil
}

func insertDataset(c *wire.Call) (any, error) {
	parent, p, err := c.State().ProjectNode(c.Vars["project"])
	if err := c.RequireFound("bigquery.datasets.create", parent, err); err != nil {
		return nil, err
	}
	version, err := requestedAccessVersion(c)
	if err != nil {
		return nil, err
	}
	in, err := readDatasetChange(c)
	if err != nil {
		return nil, err
	}
	id := in.Reference.DatasetID
	if !bigqueryID(id) {
		return nil, invalidEntry("Invalid dataset ID %q. Dataset IDs must be alphanumeric (plus underscores) and must "+
			"be at most 1024 characters long.", id)
	}
	st := stateOf(c.State())
	d := &dataset{Project: p.ID, ID: id}
	if st.Datasets[d.name()] != nil {
		return nil, duplicate("Dataset %s:%s", p.ID, id)
	}
	access := defaultAccess(c.Caller.Member, p.ID)
	if in.Access != nil {
		if access, err = readAccessList(c, d, in.Access, version); err != nil {
			return nil, err
		}
	}
	if err := in.apply(d); err != nil {
		return nil, err
	}
	made := st.newDataset(p.ID, id, in.Location, access, c.Now)
	made.FriendlyName, made.Description, made.Labels = d.FriendlyName, d.Description, d.Labels
	made.TimeTravel, made.AnyCase = d.TimeTravel, d.AnyCase
	r := showDataset(c, made, version)
	r.TimeTravel = in.TimeTravel // the default shows only when the dataset is read
	return r, nil
}

func getDataset(c *wire.Call) (any, error) {
	version, err := requestedAccessVersion(c)
	if err != nil {
		return nil, err
	}
	d, n, err := findDataset(c)
	if err := c.RequireFound("bigquery.datasets.get", n, err); err != nil {
		return nil, err
	}
	r := showDataset(c, d, version)
	switch view := c.Query("datasetView"); view {
	case "", "DATASET_VIEW_UNSPECIFIED", "FULL":
	case "METADATA":
		r.Access = nil
	case "ACL":
		r.FriendlyName, r.Description, r.Labels = "", "", nil
	default:
		return nil, invalidEntry("Invalid value for datasetView: %s", view)
	}
	return r, nil
}

// patchDataset changes metadata, access or both. Changing who has access takes bigquery.datasets.update
// alone, as long as no condition is involved.
func patchDataset(c *wire.Call) (any, error) { return changeDataset(c, false) }

// updateDataset is patchDataset for a body that is the whole dataset: metadata that it leaves out is
// emptied. Who has access stays as it was if it says nothing of that.
func updateDataset(c *wire.Call) (any, error) { return changeDataset(c, true) }

func changeDataset(c *wire.Call, whole bool) (any, error) {
	version, err := requestedAccessVersion(c)
	if err != nil {
		return nil, err
	}
	in, err := readDatasetChange(c)
	if err != nil {
		return nil, err
	}
	d, n, err := findDataset(c)
	for _, permission := range []string{"bigquery.datasets.update", "bigquery.datasets.get"} {
		if err := c.RequireFound(permission, n, err); err != nil {
			return nil, err
		}
	}
	if match := strings.Trim(c.Request.Header.Get("If-Match"), `"`); match != "" && match != "*" &&
		!iam.SameEtag(match, d.etag()) {
		return nil, wire.Fail(http.StatusPreconditionFailed, "FAILED_PRECONDITION", "conditionNotMet",
			"Precondition check failed.")
	}
	access, metadata, err := updateMode(c)
	if err != nil {
		return nil, err
	}
	next := *d
	if access && in.Access != nil {
		if next.Access, err = readAccessList(c, d, in.Access, version); err != nil {
			return nil, err
		}
		if conditional(d.Access) || conditional(next.Access) {
			if err := c.Require("bigquery.datasets.setIamPolicy", n); err != nil {
				return nil, err
			}
		}
	}
	if metadata {
		if in.Location != "" && !strings.EqualFold(in.Location, d.Location) {
			return nil, invalidEntry("Cannot change the location of dataset %s:%s.", d.Project, d.ID)
		}
		if whole {
			next.FriendlyName, next.Description, next.Labels, next.TimeTravel, next.AnyCase = "", "", nil, "", nil
		}
		if err := in.apply(&next); err != nil {
			return nil, err
		}
	}
	next.Unsettled = d.policy().Settle(c.Company(), next.policy(), c.Now)
	next.Superseded = c.State().Supersede(d.Superseded, d.policy().Bindings, c.Now)
	*d = next
	d.touch(c.Now)
	return showDataset(c, d, version), nil
}

// updateMode says which half of a dataset an update is for: who has access, the rest, or both.
func updateMode(c *wire.Call) (access, metadata bool, err error) {
	switch mode := c.Query("updateMode"); mode {
	case "", "UPDATE_MODE_UNSPECIFIED", "UPDATE_FULL":
		return true, true, nil
	case "UPDATE_METADATA":
		return false, true, nil
	case "UPDATE_ACL":
		return true, false, nil
	default:
		return false, false, invalidEntry("Invalid value for updateMode: %s", mode)
	}
}

func deleteDataset(c *wire.Call) (any, error) {
	d, n, err := findDataset(c)
	if err := c.RequireFound("bigquery.datasets.delete", n, err); err != nil {
		return nil, err
	}
	if contents, err := strconv.ParseBool(cmp.Or(c.Query("deleteContents"), "false")); err != nil {
		return nil, invalidEntry("Invalid value for deleteContents: %v", err)
	} else if !contents && len(d.Tables) > 0 {
		return nil, wire.Fail(http.StatusBadRequest, "FAILED_PRECONDITION", "resourceInUse",
			"Dataset %s:%s is still in use", d.Project, d.ID)
	}
	delete(stateOf(c.State()).Datasets, d.name())
	return &wire.Raw{Code: http.StatusNoContent}, nil
}

// listDatasets lists the datasets that the caller may get: that takes no permission on the project.
func listDatasets(c *wire.Call) (any, error) {
	parent, p, err := c.State().ProjectNode(c.Vars["project"])
	if err != nil {
		return nil, err
	}
	if c.Query("filter") != "" {
		return nil, c.Unsupported("filter")
	}
	all := stateOf(c.State()).Datasets
	var visible []string
	for _, name := range wire.NamesBelow(all, "projects/"+p.ID+"/") {
		if c.May("bigquery.datasets.get", all[name].node(parent)) {
			visible = append(visible, name)
		}
	}
	names, next, err := c.Page(visible, "maxResults", 1000)
	if err != nil {
		return nil, err
	}
	out := struct {
		Kind     string            `json:"kind"`
		Datasets []datasetResource `json:"datasets,omitempty"`
		Next     string            `json:"nextPageToken,omitempty"`
	}{Kind: "bigquery#datasetList", Next: next}
	for _, name := range names {
		d := all[name]
		out.Datasets = append(out.Datasets, datasetResource{
			Kind: "bigquery#dataset", ID: fmt.Sprintf("%s:%s", d.Project, d.ID),
			Reference:    datasetReference{d.Project, d.ID},
			FriendlyName: d.FriendlyName, Labels: d.Labels, Location: d.Location,
		})
	}
	return out, nil
}
