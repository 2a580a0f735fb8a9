#include "report/whom.hpp"

#include "base/strings.hpp"

namespace posthorn::report {

using handoff::ReportRequest;

namespace {

/// Without NOTIFY a sender hears of failures and delays, not of success (RFC 3461 4.1).
bool asked_for(std::uint32_t notify, ReportRequest::Kind kind)
{
    if ((notify & handoff::NOTIFY_NEVER) != 0)
        return false;
    switch (kind) {
    case ReportRequest::FAILURE: return notify == 0 || (notify & handoff::NOTIFY_FAILURE) != 0;
    case ReportRequest::DELAY: return notify == 0 || (notify & handoff::NOTIFY_DELAY) != 0;
    case ReportRequest::SUCCESS: return (notify & handoff::NOTIFY_SUCCESS) != 0;
    default: return true;                        // sendmail -bv and -v asked for it
    }
}

}  // namespace

Addressees whom(const ReportRequest& request, const handoff::NotifyClasses& classes, std::string_view double_bounce_sender)
{
    Addressees addressees;
    const handoff::Envelope& envelope = request.envelope();
    const bool null_sender = envelope.sender().empty();
    if (iequals(envelope.sender(), double_bounce_sender)) {
        addressees.discard = true;
        return addressees;
    }
    const bool postmaster = request.kind() == ReportRequest::FAILURE ? (classes.bounce || (null_sender && classes.double_bounce))
                            : request.kind() == ReportRequest::DELAY ? classes.delay
                                                                     : false;
    for (std::size_t i = 0; i < static_cast<std::size_t>(request.verdicts_size()); ++i) {
        std::uint32_t notify = 0;
        for (const handoff::Recipient& recipient : envelope.recipients())
            if (recipient.index() == request.verdicts(static_cast<int>(i)).recipient())
                notify = recipient.notify();
        if (!null_sender && asked_for(notify, request.kind()))
            addressees.for_sender.push_back(i);
        if (postmaster)
            addressees.for_postmaster.push_back(i);
    }
    return addressees;
}

}  // namespace posthorn::report
