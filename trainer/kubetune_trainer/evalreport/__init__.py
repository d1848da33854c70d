"""The report of an evaluation: report.html for people, report.json for programs, from one document."""
