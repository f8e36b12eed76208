package emulator

import (
	"net/http"
	"strings"
	"time"
)

// spendWrite counts a write of the IAM API, and the creation of an account once more.
func spendWrite(c *call, q *quotas) error {
	project := quotaProject(c)
	if c.method.id == "iam.projects.serviceAccounts.create" &&
		!q.take("creations "+project+" "+c.caller.member, q.limits.AccountCreations, time.Minute, c.now) {
		return overQuota(c, "CreateServiceAccountPerMinutePerProject", project)
	}
	if !q.take("writes "+project, q.limits.IAMWrites, time.Minute, c.now) {
		return overQuota(c, "WriteRequestsPerMinutePerProject", project)
	}
	return nil
}

// quotaProject is the project that a call to the IAM API counts for, "" if it is none's.
func quotaProject(c *call) string {
	id := c.vars["project"]
	if id == "-" {
		if a := c.state().Accounts[c.vars["account"]]; a != nil {
			return a.ProjectID
		}
		return projectOf(c.vars["account"])
	}
	if p := c.state().projectBy(id); p != nil {
		return p.ID
	}
	return id
}

// overQuota is the 429 of a quota that is counted for a project.
func overQuota(c *call, limit, project string) error {
	number := project
	if p := c.state().projectBy(project); p != nil {
		number = p.Number
	}
	service, _, _ := strings.Cut(c.method.host, ".")
	e := fail(http.StatusTooManyRequests, "RESOURCE_EXHAUSTED", "rateLimitExceeded",
		"Quota exceeded for quota metric '%s' and limit '%s' of service '%s' for consumer 'project_number:%s'.",
		service+".googleapis.com/write_requests", limit, c.method.host, number)
	return e.withDetails(errorInfo("RATE_LIMIT_EXCEEDED", "googleapis.com", map[string]string{
		"service": c.method.host, "quota_limit": limit, "consumer": "projects/" + number,
	}))
}
