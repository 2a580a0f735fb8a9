// services/report_link.hpp: from who speaks with other servers to reporter, which counts it for their daily reports (aggregate_reports).
// Loses    what is told while reporter is away for longer than a few seconds, or faster than it takes it: counted, never waited for.
#pragma once

#include "handoff/aggregate.pb.h"
#include "handoff/frames.hpp"
#include "ipc/client.hpp"
#include "receive/outside.hpp"
#include "send/tls_report.hpp"

#include <cstdint>
#include <memory>

namespace posthorn::services {

class ReportLink {
public:
    explicit ReportLink(Executor executor);
    void start() { link_.start(); }
    /// What is on its way is waited for.
    awaitable<void> close();
    std::uint64_t dropped() const { return dropped_; }

    template <class Message>
    void tell(handoff::Frame frame, Message message)
    {
        if (on_the_way_ >= at_most) {
            ++dropped_;
            return;
        }
        ++on_the_way_;
        tasks_.spawn(send(frame, std::move(message)));
    }

private:
    static constexpr std::size_t at_most = 2'000;
    template <class Message>
    awaitable<void> send(handoff::Frame frame, Message message)
    {
        const auto sent = co_await link_.send(static_cast<ipc::Kind>(frame), std::move(message));
        dropped_ += sent ? 0 : 1;
        --on_the_way_;
    }

    ipc::Client link_;
    TaskGroup tasks_;
    std::size_t on_the_way_ = 0;
    std::uint64_t dropped_ = 0;
};

/// Of smtp: to reporter, and to the collector of others that smtp_tlsrpt_socket_name names.
class TlsReportLink final : public send::TlsReports {
public:
    /// Either may be none.
    TlsReportLink(ReportLink* link, std::unique_ptr<send::SocketReports> socket) : link_(link), socket_(std::move(socket)) {}
    void tell(const send::TlsReport& report) override;

private:
    ReportLink* link_;
    std::unique_ptr<send::SocketReports> socket_;
};
handoff::TlsSeen seen_of(const send::TlsReport& report);

class DmarcReportLink final : public receive::DmarcReports {
public:
    explicit DmarcReportLink(ReportLink& link) : link_(link) {}
    void tell(handoff::DmarcSeen seen) override { link_.tell(handoff::Frame::dmarc_seen, std::move(seen)); }

private:
    ReportLink& link_;
};

}  // namespace posthorn::services
