package storage

import (
	"crypto/md5"
	"encoding/base64"
	"encoding/hex"
	"encoding/xml"
	"fmt"
	"hash/crc32"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/taskiam/taskiam/emulator/internal/iam"
	"github.com/taskiam/taskiam/emulator/internal/wire"
)

// objectResource is an object as the JSON API writes it.
type objectResource struct {
	Kind               string            `json:"kind"`
	ID                 string            `json:"id"`
	SelfLink           string            `json:"selfLink"`
	MediaLink          string            `json:"mediaLink"`
	Name               string            `json:"name"`
	Bucket             string            `json:"bucket"`
	Generation         int64             `json:"generation,string"`
	Metageneration     int64             `json:"metageneration,string"`
	ContentType        string            `json:"contentType,omitempty"`
	ContentEncoding    string            `json:"contentEncoding,omitempty"`
	ContentLanguage    string            `json:"contentLanguage,omitempty"`
	ContentDisposition string            `json:"contentDisposition,omitempty"`
	CacheControl       string            `json:"cacheControl,omitempty"`
	StorageClass       string            `json:"storageClass"`
	Size               int               `json:"size,string"`
	MD5Hash            string            `json:"md5Hash"`
	CRC32C             string            `json:"crc32c"`
	Etag               string            `json:"etag"`
	TimeCreated        string            `json:"timeCreated"`
	Updated            string            `json:"updated"`
	Metadata           map[string]string `json:"metadata,omitempty"`
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// hashes are those of an object's content, as the API writes them.
type hashes struct{ md5, crc32c string }

// hashed returns the hashes of the content. Of what is stored they are counted once, when it is stored.
func (o *object) hashed() hashes {
	if o.hashes != nil {
		return *o.hashes
	}
	sum, crc := md5.New(), crc32.New(castagnoli)
	_, _ = o.Content.WriteTo(io.MultiWriter(sum, crc)) // hashes take everything
	return hashes{
		md5:    base64.StdEncoding.EncodeToString(sum.Sum(nil)),
		crc32c: base64.StdEncoding.EncodeToString(crc.Sum(nil)),
	}
}

// hexMD5 is the MD5 of the content in the form of the XML API's ETag.
func hexMD5(o *object) string {
	raw, _ := base64.StdEncoding.DecodeString(o.md5()) // is of our own making
	return hex.EncodeToString(raw)
}

func (o *object) md5() string { return o.hashed().md5 }

func (o *object) crc32c() string { return o.hashed().crc32c }

// showObject writes o. Clients download from its media link, which therefore leads to the address at
// which this client reached the emulator.
func showObject(c *wire.Call, b *bucket, o *object) *objectResource {
	at := b.Name + "/o/" + url.PathEscape(o.Name)
	return &objectResource{
		Kind: "storage#object", ID: fmt.Sprintf("%s/%s/%d", b.Name, o.Name, o.Generation),
		SelfLink:  c.BaseURL() + "/storage/v1/b/" + at,
		MediaLink: fmt.Sprintf("%s/download/storage/v1/b/%s?generation=%d&alt=media", c.BaseURL(), at, o.Generation),
		Name:      o.Name, Bucket: b.Name, Generation: o.Generation, Metageneration: o.Metageneration,
		ContentType: o.ContentType, ContentEncoding: o.ContentEncoding, ContentLanguage: o.ContentLanguage,
		ContentDisposition: o.ContentDisposition, CacheControl: o.CacheControl, StorageClass: o.StorageClass,
		Size: o.Content.Len(), MD5Hash: o.md5(), CRC32C: o.crc32c(),
		Etag:        wire.CounterEtag(o.Generation, o.Metageneration),
		TimeCreated: storageTime(o.Created), Updated: storageTime(o.Created), Metadata: o.Metadata,
	}
}

func getObject(c *wire.Call) (any, error) {
	b, o, err := findObject(c, "storage.objects.get")
	if err != nil {
		return nil, err
	}
	if c.Query("alt") == "media" {
		return mediaAnswer(c.Request, o), nil
	}
	return showObject(c, b, o), nil
}

// xmlRefusal is a refusal in the shape of the XML API.
func xmlRefusal(e *wire.Error) (any, error) {
	code := map[int]string{
		http.StatusBadRequest: "InvalidArgument",
		http.StatusNotFound:   "NoSuchKey", http.StatusForbidden: "AccessDenied", http.StatusNotModified: "NotModified",
		http.StatusPreconditionFailed: "PreconditionFailed", http.StatusInternalServerError: "InternalError",
		http.StatusServiceUnavailable: "ServiceUnavailable",
	}[e.Code]
	if code == "" {
		return nil, e
	}
	message := e.Message
	switch {
	case signatureMessages[e.Reason] != "":
		code, message = e.Reason, signatureMessages[e.Reason]
	case strings.HasPrefix(message, "The specified bucket"):
		code = "NoSuchBucket"
	case strings.HasPrefix(message, "Bucket is requester pays"):
		code = "UserProjectMissing"
	case strings.HasPrefix(message, "User project"):
		code = "UserProjectInvalid"
	case code == "AccessDenied" && strings.Contains(message, "serviceusage.services.use"):
		code = "UserProjectAccessDenied"
		message = "Requester does not have serviceusage.services.use permissions on user project."
	case code == "AccessDenied":
		message = "Access denied."
	}
	a, err := xmlAnswer(e.Code, struct {
		XMLName xml.Name `xml:"Error"`
		Code    string   `xml:"Code"`
		Message string   `xml:"Message"`
		Details string   `xml:"Details"`
	}{Code: code, Message: message, Details: e.Message})
	if err != nil {
		return nil, err
	}
	maps.Copy(a.Header, e.Header)
	return a, nil
}

// signatureMessages are what the XML API says to a signature that it does not take, by the codes of these refusals.
var signatureMessages = map[string]string{
	"MalformedSecurityHeader": "Your request has a malformed header.", "ExpiredToken": "Invalid argument.",
	"SignatureDoesNotMatch": "Access denied.", "InvalidSecurity": "The provided security credentials are not valid.",
	"BadDigest":            "The content does not match its hash.",
	"RequestTimeTooSkewed": "The time of the request is too far off.",
}

// mediaAnswer answers with the content of o, or with the part of it that a Range header asks for.
func mediaAnswer(r *http.Request, o *object) *wire.Raw {
	h := http.Header{
		"Content-Type":                   {contentType(o)},
		"Etag":                           {`"` + wire.CounterEtag(o.Generation, o.Metageneration) + `"`},
		"Last-Modified":                  {o.Created.UTC().Format(http.TimeFormat)},
		"Accept-Ranges":                  {"bytes"},
		"X-Goog-Hash":                    {"crc32c=" + o.crc32c(), "md5=" + o.md5()},
		"X-Goog-Generation":              {strconv.FormatInt(o.Generation, 10)},
		"X-Goog-Metageneration":          {strconv.FormatInt(o.Metageneration, 10)},
		"X-Goog-Storage-Class":           {o.StorageClass},
		"X-Goog-Stored-Content-Encoding": {"identity"},
		"X-Goog-Stored-Content-Length":   {strconv.Itoa(o.Content.Len())},
		"Access-Control-Expose-Headers":  {"Content-Range"},
	}
	for name, value := range map[string]string{
		"Content-Encoding": o.ContentEncoding, "Content-Language": o.ContentLanguage,
		"Content-Disposition": o.ContentDisposition, "Cache-Control": o.CacheControl,
	} {
		if value != "" {
			h.Set(name, value)
		}
	}
	if o.ContentEncoding != "" {
		h.Set("X-Goog-Stored-Content-Encoding", o.ContentEncoding)
	}
	for k, v := range o.Metadata {
		h.Set("X-Goog-Meta-"+k, v)
	}
	from, to, ok := byteRange(r.Header.Get("Range"), o.Content.Len())
	switch {
	case !ok:
		h.Set("Content-Range", fmt.Sprintf("bytes */%d", o.Content.Len()))
		h.Set("Content-Type", "text/html; charset=UTF-8")
		return &wire.Raw{Code: http.StatusRequestedRangeNotSatisfiable, Header: h,
			Body: []byte("Requested range not satisfiable")}
	case to < 0:
		return &wire.Raw{Header: h, Content: o.Content}
	}
	h.Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", from, to, o.Content.Len()))
	return &wire.Raw{Code: http.StatusPartialContent, Header: h, Content: o.Content.Slice(from, to+1)}
}

func contentType(o *object) string {
	if o.ContentType == "" {
		return "application/octet-stream"
	}
	return o.ContentType
}

// byteRange reads a Range header over size bytes. A header that is absent, malformed or asks for several
// ranges means all, with to = -1; ok is false for a range that begins past the end.
func byteRange(header string, size int) (from, to int, ok bool) {
	first, last, found := strings.Cut(strings.TrimPrefix(header, "bytes="), "-")
	if !found || !strings.HasPrefix(header, "bytes=") {
		return 0, -1, true
	}
	if first == "" { // the last n bytes
		n, err := strconv.Atoi(last)
		if err != nil || n < 0 {
			return 0, -1, true
		}
		return max(0, size-n), size - 1, n > 0 && size > 0
	}
	from, err := strconv.Atoi(first)
	if err != nil || from < 0 {
		return 0, -1, true
	}
	to = size - 1
	if last != "" {
		n, err := strconv.Atoi(last)
		if err != nil || n < from {
			return 0, -1, true
		}
		to = min(n, to)
	}
	return from, to, from < size
}

func deleteObject(c *wire.Call) (any, error) {
	b, o, err := findObject(c, "storage.objects.delete")
	if err != nil {
		return nil, err
	}
	delete(b.Objects, o.Name)
	return &wire.Raw{Code: http.StatusNoContent}, nil
}

// listPrefix is the attribute by which the boundary of a token sees the prefix of a list.
const listPrefix = "storage.googleapis.com/objectListPrefix"

// mayList decides whether the caller may list a bucket.
func mayList(c *wire.Call, n iam.Node, prefix string) error {
	// Only the boundary of a token sees it: what conditions of policies make of it Google calls unexpected.
	c.Caller.Attributes = map[string]any{listPrefix: prefix}
	return c.Require("storage.objects.list", n)
}

// listObjects lists a bucket. The permission is decided on the bucket, whatever the prefix: a condition
// on the names of objects never lets anybody list.
func listObjects(c *wire.Call) (any, error) {
	b, n, err := findBucket(c)
	if err != nil {
		return nil, err
	}
	q := c.Request.URL.Query()
	if err := mayList(c, n, q.Get("prefix")); err != nil {
		return nil, err
	}
	for _, unknown := range []string{"matchGlob", "filter"} {
		if q.Get(unknown) != "" {
			return nil, c.Unsupported(unknown)
		}
	}
	if q.Get("softDeleted") == "true" {
		return nil, c.Unsupported("softDeleted")
	}

	// An entry is an object, or a prefix of several objects.
	prefix, delimiter := q.Get("prefix"), q.Get("delimiter")
	entries := map[string]bool{} // by name; true for a prefix
	for name := range b.Objects {
		rest, ok := strings.CutPrefix(name, prefix)
		if !ok || name < q.Get("startOffset") || (q.Has("endOffset") && name >= q.Get("endOffset")) {
			continue
		}
		if i := strings.Index(rest, delimiter); delimiter != "" && i >= 0 {
			entries[prefix+rest[:i+len(delimiter)]] = true
		} else {
			entries[name] = false
		}
	}
	page, next, err := c.Page(slices.Sorted(maps.Keys(entries)), "maxResults", 1000)
	if err != nil {
		return nil, err
	}
	out := struct {
		Kind     string            `json:"kind"`
		Prefixes []string          `json:"prefixes,omitempty"`
		Items    []*objectResource `json:"items,omitempty"`
		Next     string            `json:"nextPageToken,omitempty"`
	}{Kind: "storage#objects", Next: next}
	for _, name := range page {
		o := b.Objects[name]
		if entries[name] {
			out.Prefixes = append(out.Prefixes, name)
			if o == nil || q.Get("includeTrailingDelimiter") != "true" {
				continue
			}
		}
		out.Items = append(out.Items, showObject(c, b, o))
	}
	return out, nil
}

// sameGeneration reports whether the generation that a request names, if any, is the live one.
func sameGeneration(asked string, live int64) bool {
	return asked == "" || asked == strconv.FormatInt(live, 10)
}

// checkGenerations holds the preconditions in q against the live object, which is nil if there is none.
func checkGenerations(q url.Values, live *object) error {
	var generation, metageneration int64
	if live != nil {
		generation, metageneration = live.Generation, live.Metageneration
	}
	if err := checkCounter(q, "ifGeneration", generation); err != nil {
		return err
	}
	return checkCounter(q, "ifMetageneration", metageneration)
}

func checkMetageneration(q url.Values, live int64) error {
	return checkCounter(q, "ifMetageneration", live)
}

// checkCounter holds the preconditions kind+"Match" and kind+"NotMatch" against a counter.
func checkCounter(q url.Values, kind string, live int64) error {
	for _, want := range []string{"Match", "NotMatch"} {
		v := q.Get(kind + want)
		if v == "" {
			continue
		}
		n, err := strconv.ParseInt(v, 10, 64)
		if err != nil {
			return wire.Fail(http.StatusBadRequest, "INVALID_ARGUMENT", "invalid", "Invalid value for %s%s: %q", kind,
				want, v)
		}
		switch {
		case want == "Match" && n != live:
			return wire.ConditionNotMet()
		case want == "NotMatch" && n == live:
			return wire.Fail(http.StatusNotModified, "", "notModified", "Not Modified")
		}
	}
	return nil
}

// nextGeneration numbers the content of an object: microseconds since the epoch, and never twice the same.
func (st *state) nextGeneration(now time.Time) int64 {
	st.Generation = max(st.Generation+1, now.UnixMicro())
	return st.Generation
}

// put makes o the live object of its name.
func (st *state) put(b *bucket, o object, now time.Time) *object {
	o.Created, o.Generation, o.Metageneration = now, st.nextGeneration(now), 1
	sums := o.hashed()
	o.hashes = &sums
	if o.StorageClass == "" {
		o.StorageClass = b.StorageClass
	}
	if b.Objects == nil {
		b.Objects = map[string]*object{}
	}
	b.Objects[o.Name] = &o
	return &o
}
