// heard/dmarc_xml.hpp: an aggregate report of DMARC.                                                       RFC 7489 appendix C
// Shape    <feedback>, with a version and a namespace or without, and with a prefix or without. Elements that are not known are passed
//          over, those that are missing are empty; needed are policy_published/domain, report_metadata/report_id and each row's count.
// Errors   no XML (with line and column), no feedback, what is needed is missing; a document type, since nobody's report has one and
//          entities would come with it; elements nested too deep.
// Trust    none: see report.hpp. An address that is none is empty.
// Pure.
#pragma once

#include "heard/report.hpp"

namespace posthorn::heard {

Result<Report> read_dmarc(std::string_view xml);

}  // namespace posthorn::heard
