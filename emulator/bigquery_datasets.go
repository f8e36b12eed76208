package emulator

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"time"
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

var bigqueryName = regexp.MustCompile(`^[A-Za-z0-9_]+$`)

// bigqueryID reports whether a dataset, table or column may have the name.
func bigqueryID(name string) bool { return len(name) <= 1024 && bigqueryName.MatchString(name) }

// etag is an etag that no earlier state of the dataset had, nor of one that had its name before.
func (d *dataset) etag() string { return counterEtag(d.Created.UnixMicro(), d.Revision) }

func (d *dataset) touch(now time.Time) {
	d.Modified = now
	d.Revision++
}

func showDataset(c *call, d *dataset, version int) datasetResource {
	return datasetResource{
		Kind: "bigquery#dataset", Etag: d.etag(), ID: d.Project + ":" + d.ID, SelfLink: c.baseURL() + "/bigquery/v2/" + d.name(),
		Reference: datasetReference{d.Project, d.ID}, FriendlyName: d.FriendlyName, Description: d.Description, Labels: d.Labels,
		Access: d.readAccess(version), Created: d.Created.UnixMilli(), Modified: d.Modified.UnixMilli(), Location: d.Location, Type: "DEFAULT",
		TimeTravel: cmp.Or(d.TimeTravel, defaultTimeTravel), AnyCase: d.AnyCase,
	}
}

// newDataset returns a dataset that grants what access says.
func (st *bigqueryState) newDataset(project, id, location string, access []accessEntry, now time.Time) *dataset {
	if st.Datasets == nil {
		st.Datasets = map[string]*dataset{}
	}
	d := &dataset{
		Project: project, ID: id, Location: cmp.Or(location, "US"), Created: now, Modified: now, Access: access, Tables: map[string]*table{},
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

func readDatasetChange(c *call) (datasetChange, error) {
	var in datasetChange
	var output any // what a client may send back as it read it
	err := c.decodeKnown(c.body, map[string]any{
		"datasetReference": &in.Reference, "friendlyName": &in.FriendlyName, "description": &in.Description, "labels": &in.Labels,
		"access": &in.Access, "location": &in.Location, "kind": &output, "etag": &output, "id": &output, "selfLink": &output,
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

func insertDataset(c *call) (any, error) {
	parent, p, err := c.state().projectNode(c.vars["project"])
	if err := c.requireFound("bigquery.datasets.create", parent, err); err != nil {
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
		return nil, invalidEntry("Invalid dataset ID %q. Dataset IDs must be alphanumeric (plus underscores) and must be at most 1024 characters long.", id)
	}
	st := bigqueryOf(c.state())
	d := &dataset{Project: p.ID, ID: id}
	if st.Datasets[d.name()] != nil {
		return nil, duplicate("Dataset %s:%s", p.ID, id)
	}
	access := defaultAccess(c.caller.member, p.ID)
	if in.Access != nil {
		if access, err = readAccessList(c, d, in.Access, version); err != nil {
			return nil, err
		}
	}
	if err := in.apply(d); err != nil {
		return nil, err
	}
	made := st.newDataset(p.ID, id, in.Location, access, c.now)
	made.FriendlyName, made.Description, made.Labels = d.FriendlyName, d.Description, d.Labels
	made.TimeTravel, made.AnyCase = d.TimeTravel, d.AnyCase
	r := showDataset(c, made, version)
	r.TimeTravel = in.TimeTravel // the default shows only when the dataset is read
	return r, nil
}

func getDataset(c *call) (any, error) {
	version, err := requestedAccessVersion(c)
	if err != nil {
		return nil, err
	}
	d, n, err := findDataset(c)
	if err := c.requireFound("bigquery.datasets.get", n, err); err != nil {
		return nil, err
	}
	r := showDataset(c, d, version)
	switch view := c.query("datasetView"); view {
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
func patchDataset(c *call) (any, error) { return changeDataset(c, false) }

// updateDataset is patchDataset for a body that is the whole dataset: metadata that it leaves out is
// emptied. Who has access stays as it was if it says nothing of that.
func updateDataset(c *call) (any, error) { return changeDataset(c, true) }

func changeDataset(c *call, whole bool) (any, error) {
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
		if err := c.requireFound(permission, n, err); err != nil {
			return nil, err
		}
	}
	if match := strings.Trim(c.r.Header.Get("If-Match"), `"`); match != "" && match != "*" && !sameEtag(match, d.etag()) {
		return nil, fail(http.StatusPreconditionFailed, "FAILED_PRECONDITION", "conditionNotMet", "Precondition check failed.")
	}
	access, metadata := in.Access != nil, true
	switch mode := c.query("updateMode"); mode {
	case "", "UPDATE_MODE_UNSPECIFIED", "UPDATE_FULL":
	case "UPDATE_METADATA":
		access = false
	case "UPDATE_ACL":
		metadata = false
	default:
		return nil, invalidEntry("Invalid value for updateMode: %s", mode)
	}
	next := *d
	if access {
		if next.Access, err = readAccessList(c, d, in.Access, version); err != nil {
			return nil, err
		}
		if conditional(d.Access) || conditional(next.Access) {
			if err := c.require("bigquery.datasets.setIamPolicy", n); err != nil {
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
	next.Unsettled = d.policy().settle(c.company(), next.policy(), c.now)
	next.Superseded = c.state().supersede(d.Superseded, d.policy().Bindings, c.now)
	*d = next
	d.touch(c.now)
	return showDataset(c, d, version), nil
}

func deleteDataset(c *call) (any, error) {
	d, n, err := findDataset(c)
	if err := c.requireFound("bigquery.datasets.delete", n, err); err != nil {
		return nil, err
	}
	if contents, err := strconv.ParseBool(cmp.Or(c.query("deleteContents"), "false")); err != nil {
		return nil, invalidEntry("Invalid value for deleteContents: %v", err)
	} else if !contents && len(d.Tables) > 0 {
		return nil, fail(http.StatusBadRequest, "FAILED_PRECONDITION", "resourceInUse", "Dataset %s:%s is still in use", d.Project, d.ID)
	}
	delete(bigqueryOf(c.state()).Datasets, d.name())
	return &rawAnswer{code: http.StatusNoContent}, nil
}

// listDatasets lists the datasets that the caller may get: that takes no permission on the project.
func listDatasets(c *call) (any, error) {
	parent, p, err := c.state().projectNode(c.vars["project"])
	if err != nil {
		return nil, err
	}
	if c.query("filter") != "" {
		return nil, c.unsupported("filter")
	}
	all := bigqueryOf(c.state()).Datasets
	var visible []string
	for _, name := range namesBelow(all, "projects/"+p.ID+"/") {
		if c.may("bigquery.datasets.get", all[name].node(parent)) {
			visible = append(visible, name)
		}
	}
	names, next, err := c.page(visible, "maxResults", 1000)
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
			Kind: "bigquery#dataset", ID: fmt.Sprintf("%s:%s", d.Project, d.ID), Reference: datasetReference{d.Project, d.ID},
			FriendlyName: d.FriendlyName, Labels: d.Labels, Location: d.Location,
		})
	}
	return out, nil
}
