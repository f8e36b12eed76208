package storage

import (
	"cmp"
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/taskiam/taskiam/emulator/internal/iam"
	"github.com/taskiam/taskiam/emulator/internal/wire"
)

// upload is a resumable upload between its start and its last byte. Object holds what arrived so far.
type upload struct {
	Bucket  string    `json:"bucket"`
	Object  object    `json:"object"`
	Checks  checks    `json:"checks"`
	Query   string    `json:"query,omitempty"` // of the request that began it, with its preconditions
	Created time.Time `json:"created"`
	By      string    `json:"by"` // who began it, as policies name them
	// Owner is who began it, as their token said; nil for a call without a login.
	Owner *iam.AccessToken `json:"owner,omitempty"`
}

// sessionPeriod is how long a resumable upload can be continued after it began.
const sessionPeriod = 7 * 24 * time.Hour

// checks are the hashes that a client wants its content to have.
type checks struct {
	MD5Hash string `json:"md5Hash,omitempty"`
	CRC32C  string `json:"crc32c,omitempty"`
}

// objectMetadata is what a client may say of an object that it uploads.
type objectMetadata struct {
	object
	checks
}

// fields are the JSON fields of the metadata.
func (m *objectMetadata) fields() map[string]any {
	var output any // the bucket stands in the path; a client may say it again
	return map[string]any{
		"name": &m.Name, "contentType": &m.ContentType, "contentEncoding": &m.ContentEncoding,
		"contentLanguage":    &m.ContentLanguage,
		"contentDisposition": &m.ContentDisposition, "cacheControl": &m.CacheControl, "storageClass": &m.StorageClass,
		"metadata": &m.Metadata, "md5Hash": &m.MD5Hash, "crc32c": &m.CRC32C, "bucket": &output, "kind": &output,
	}
}

// insertObject uploads an object at once (media, multipart) or begins a resumable upload. Google's Go
// client continues one with POST, too.
func insertObject(c *wire.Call) (any, error) {
	if c.Query("upload_id") != "" {
		return continueUpload(c)
	}
	b, n, err := findBucket(c)
	if err != nil {
		return nil, err
	}
	q := c.Request.URL.Query()
	if q.Get("predefinedAcl") != "" {
		return nil, c.Unsupported("predefinedAcl")
	}
	var m objectMetadata
	m.ContentEncoding = q.Get("contentEncoding")
	content := c.Content
	switch kind := q.Get("uploadType"); kind {
	case "media":
		m.ContentType = c.Request.Header.Get("Content-Type")
	case "multipart":
		if content, err = readMultipart(c, &m); err != nil {
			return nil, err
		}
	case "resumable":
		if err := c.DecodeKnown(c.Content.Bytes(), m.fields()); err != nil {
			return nil, err
		}
		m.ContentType = cmp.Or(m.ContentType, c.Request.Header.Get("X-Upload-Content-Type"))
	default:
		return nil, wire.Fail(http.StatusBadRequest, "INVALID_ARGUMENT", "invalid", "Unsupported upload type: %q", kind)
	}
	m.Name = cmp.Or(q.Get("name"), m.Name)
	if m.Name == "" {
		return nil, wire.Fail(http.StatusBadRequest, "INVALID_ARGUMENT", "required", "Required parameter: name")
	}
	if q.Get("uploadType") == "resumable" {
		return beginUpload(c, b, n, m)
	}
	m.Content = content
	if err := mayStore(c, b, n, m.Name, q); err != nil {
		return nil, err
	}
	return storeObject(c, b, m.object, m.checks)
}

// mayStore decides whether the caller may make name the object that it uploads: storage.objects.create,
// and storage.objects.delete too if that replaces a live one.
func mayStore(c *wire.Call, b *bucket, n iam.Node, name string, q url.Values) error {
	on := objectNode(c, b, n, name)
	if err := c.Require("storage.objects.create", on); err != nil {
		return err
	}
	if err := checkGenerations(q, b.Objects[name]); err != nil {
		return err
	}
	if b.Objects[name] == nil {
		return nil
	}
	return c.Require("storage.objects.delete", on)
}

func storeObject(c *wire.Call, b *bucket, o object, want checks) (any, error) {
	sums := o.hashed()
	o.hashes = &sums // counted once: put takes them over
	if got := sums.md5; want.MD5Hash != "" && want.MD5Hash != got {
		return nil, wire.Fail(http.StatusBadRequest, "INVALID_ARGUMENT", "invalid",
			"Provided MD5 hash %q doesn't match calculated MD5 hash %q.", want.MD5Hash, got)
	}
	if got := sums.crc32c; want.CRC32C != "" && want.CRC32C != got {
		return nil, wire.Fail(http.StatusBadRequest, "INVALID_ARGUMENT", "invalid",
			"Provided CRC32C %q doesn't match calculated CRC32C %q.", want.CRC32C, got)
	}
	return showObject(c, b, stateOf(c.State()).put(b, o, c.Now)), nil
}

// readMultipart takes a multipart/related body apart: the metadata, then the content.
func readMultipart(c *wire.Call, m *objectMetadata) (wire.Content, error) {
	bad := func(what string) error {
		return wire.Fail(http.StatusBadRequest, "INVALID_ARGUMENT", "badContent", "Malformed multipart body: %s", what)
	}
	boundary := multipartBoundary(c.Request.Header.Get("Content-Type"))
	if boundary == "" {
		return wire.Content{}, bad("no boundary")
	}
	parts := multipart.NewReader(c.Content.Body(), boundary)
	first, err := parts.NextRawPart()
	if err != nil {
		return wire.Content{}, bad("no metadata part")
	}
	metadata, err := io.ReadAll(first)
	if err != nil {
		return wire.Content{}, bad("the metadata part does not end")
	}
	if err := c.DecodeKnown(metadata, m.fields()); err != nil {
		return wire.Content{}, err
	}
	second, err := parts.NextRawPart()
	if err != nil {
		return wire.Content{}, bad("no media part")
	}
	content, err := wire.ReadContent(second, -1)
	if err != nil {
		return wire.Content{}, bad("the media part does not end")
	}
	m.ContentType = cmp.Or(m.ContentType, second.Header.Get("Content-Type"))
	return content, nil
}

// multipartBoundary finds the boundary in a Content-Type. Google's own command line tools leave off the
// quotes that its equals signs would need.
func multipartBoundary(header string) string {
	if _, params, err := mime.ParseMediaType(header); err == nil {
		return params["boundary"]
	}
	_, value, _ := strings.Cut(header, "boundary=")
	return strings.Trim(value, `'"`)
}

func beginUpload(c *wire.Call, b *bucket, n iam.Node, m objectMetadata) (any, error) {
	if err := mayStore(c, b, n, m.Name, c.Request.URL.Query()); err != nil {
		return nil, err
	}
	st := stateOf(c.State())
	if st.Uploads == nil {
		st.Uploads = map[string]*upload{}
	}
	raw := make([]byte, 32)
	_, _ = rand.Read(raw) // never fails
	id := base64.RawURLEncoding.EncodeToString(raw)
	st.Uploads[iam.TokenHash(id)] = &upload{Bucket: b.Name, Object: m.object, Checks: m.checks,
		Query: c.Request.URL.RawQuery, Created: c.Now, By: c.Caller.Member, Owner: c.Caller.Identity()}
	q := url.Values{"uploadType": {"resumable"}, "upload_id": {id}}
	return &wire.Raw{Header: http.Header{
		"Location":             {c.BaseURL() + c.Request.URL.EscapedPath() + "?" + q.Encode()},
		"X-Guploader-Uploadid": {id},
	}}, nil
}

// holder returns who makes a call with the address of a resumable upload and without a login: the address is a
// permission by itself (storage/docs/resumable-uploads), of whoever began the upload.
func holder(c *wire.Call) (*iam.Principal, error) {
	id := c.Query("upload_id")
	if id == "" || c.Request.Header.Get("Authorization") != "" {
		return nil, nil
	}
	u := stateOf(c.State()).Uploads[iam.TokenHash(id)]
	if u == nil {
		return iam.Nobody(), nil // and learns that there is no such upload
	}
	return &iam.Principal{Member: u.By, Email: u.By}, nil
}

// findUpload returns the resumable upload that a request is about, and its key. Whoever knows its address may go on
// with it: what IAM says now is not asked, unless that is in doubt.
func findUpload(c *wire.Call, b *bucket, n iam.Node) (key string, u *upload, err error) {
	key = iam.TokenHash(c.Query("upload_id"))
	u = stateOf(c.State()).Uploads[key]
	switch {
	case u == nil || u.Bucket != b.Name:
		return "", nil, wire.NotFound("No such upload.")
	case !c.Now.Before(u.Created.Add(sessionPeriod)):
		return "", nil, wire.Fail(http.StatusGone, "NOT_FOUND", "gone", "The upload began too long ago.")
	}
	if p := c.Company().ProjectBy(b.Project); p != nil && p.IsDeleted() {
		// Which nobody may there.
		return "", nil, c.Require("storage.objects.create", objectNode(c, b, n, u.Object.Name))
	}
	if !c.Company().Doubts.SessionsJudged {
		return key, u, nil
	}
	c.Caller = iam.Nobody()
	if u.Owner != nil {
		c.Caller = c.Company().PrincipalOf(u.Owner, c.Now)
	}
	if c.Caller == nil {
		return "", nil, c.Dead()
	}
	q, err := url.ParseQuery(u.Query)
	if err != nil {
		return "", nil, fmt.Errorf("reading the query of an upload: %w", err)
	}
	return key, u, mayStore(c, b, n, u.Object.Name, q)
}

// continueUpload takes the next bytes of a resumable upload, or says how many it has.
func continueUpload(c *wire.Call) (any, error) {
	b, n, err := lookUpBucket(c) // who pays was said when the upload began
	if err != nil {
		return nil, err
	}
	key, u, err := findUpload(c, b, n)
	if err != nil {
		return nil, err
	}
	q, err := url.ParseQuery(u.Query)
	if err != nil {
		return nil, fmt.Errorf("reading the query of an upload: %w", err)
	}
	if err := checkGenerations(q, b.Objects[u.Object.Name]); err != nil {
		return nil, err
	}
	from, total, err := contentRange(c.Request.Header.Get("Content-Range"), c.Content.Len())
	if err != nil {
		return nil, err
	}
	have, more := u.Object.Content.Len(), c.Content.Len()
	if more > 0 {
		if from > have {
			return nil, wire.Fail(http.StatusServiceUnavailable, "UNAVAILABLE", "backendError",
				"the upload has %d bytes, not %d", have, from)
		}
		if skip := have - from; skip < more {
			u.Object.Content.Append(c.Content.Slice(skip, more))
		}
	}
	if have = u.Object.Content.Len(); total < 0 || have < total {
		return resumeIncomplete(c.Request, have), nil
	}
	delete(stateOf(c.State()).Uploads, key)
	u.Checks.override(c.Request.Header.Get("X-Goog-Hash"))
	return storeObject(c, b, u.Object, u.Checks)
}

// override takes the hashes that the last request of an upload says (storage/docs/hashes-etags): only then does a
// client that streams know them.
func (want *checks) override(header string) {
	for part := range strings.SplitSeq(header, ",") {
		kind, sum, _ := strings.Cut(strings.TrimSpace(part), "=")
		switch kind {
		case "crc32c":
			want.CRC32C = sum
		case "md5":
			want.MD5Hash = sum
		}
	}
}

// cancelUpload ends a resumable upload before its last byte. The answer is Google's: 499, for what the client closed.
func cancelUpload(c *wire.Call) (any, error) {
	b, n, err := lookUpBucket(c) // who pays was said when the upload began
	if err != nil {
		return nil, err
	}
	key, _, err := findUpload(c, b, n)
	if err != nil {
		return nil, err
	}
	delete(stateOf(c.State()).Uploads, key)
	return &wire.Raw{Code: 499}, nil
}

// resumeIncomplete says how many bytes have arrived. 308 means another thing to most HTTP clients, so
// Google's own ask for a 200 that only says so.
func resumeIncomplete(r *http.Request, have int) *wire.Raw {
	a := &wire.Raw{Code: http.StatusPermanentRedirect, Header: http.Header{}}
	if have > 0 {
		a.Header.Set("Range", fmt.Sprintf("bytes=0-%d", have-1))
	}
	if r.Header.Get("X-GUploader-No-308") == "yes" {
		a.Code = http.StatusOK
		a.Header.Set("X-Http-Status-Code-Override", "308")
	}
	return a
}

// contentRange reads a Content-Range header over n bytes: where they begin, and how many there are in
// all, -1 if the client does not know yet. Without the header the bytes are the whole.
func contentRange(header string, n int) (from, total int, err error) {
	if header == "" {
		return 0, n, nil
	}
	bad := wire.Fail(http.StatusBadRequest, "INVALID_ARGUMENT", "invalid", "Malformed Content-Range: %q", header)
	span, size, ok := strings.Cut(strings.TrimPrefix(header, "bytes "), "/")
	if !ok {
		return 0, 0, bad
	}
	total = -1
	if size != "*" {
		if total, err = strconv.Atoi(size); err != nil || total < 0 {
			return 0, 0, bad
		}
	}
	if span == "*" {
		return 0, total, nil
	}
	first, last, _ := strings.Cut(span, "-")
	from, err = strconv.Atoi(first)
	if last == "*" && err == nil && from >= 0 { // the client learns where the bytes end when it has sent them
		if total < 0 {
			total = from + n
		}
		return from, total, nil
	}
	to, err2 := strconv.Atoi(last)
	if err != nil || err2 != nil || to-from+1 != n {
		return 0, 0, bad
	}
	return from, total, nil
}
