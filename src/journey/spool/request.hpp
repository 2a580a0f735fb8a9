// spool/request.hpp: one call of the Spool's, from the loop to the writer thread and back.
#pragma once

#include "spool/jobs.hpp"
#include "spool/ledger.hpp"

#include <functional>
#include <memory>
#include <vector>

namespace posthorn::spool {

class Request {
public:
    /// What may share a transaction, what can wait for company, and what needs none.
    enum class Kind {
        enqueue,       // refused with 4.3.1 when there is no room
        settle,        // waits for company; waits for room
        change,        // refused with 4.3.1 when there is no room
        read,          // outside of the transaction, after it
        sweep,         // a read that acts on what it finds: on what the disk holds, then
        job,           // many steps, one per turn
    };
    explicit Request(Kind request_kind) : kind(request_kind) {}
    virtual ~Request() = default;
    virtual void apply(Ledger& ledger) = 0;
    /// True: done. Only jobs take more than one step.
    virtual bool step(Ledger& ledger)
    {
        apply(ledger);
        return true;
    }
    virtual void refuse(Error error) = 0;
    /// On the loop.
    virtual void complete() = 0;

    const Kind kind;
};

template <class T>
class Call final : public Request {
public:
    using Work = std::move_only_function<Result<T>(Ledger&)>;
    Call(Kind request_kind, Work work) : Request(request_kind), work_(std::move(work)) {}

    void apply(Ledger& ledger) override { result_ = work_(ledger); }
    void refuse(Error error) override { result_ = Result<T>(std::move(error)); }
    void complete() override { done(std::move(result_)); }

    std::move_only_function<void(Result<T>)> done;

private:
    Work work_;
    Result<T> result_ = Error{"not done", "4.3.0"};
};

template <class T>
class JobCall final : public Request {
public:
    explicit JobCall(std::unique_ptr<Job<T>> job) : Request(Kind::job), job_(std::move(job)) {}

    void apply(Ledger&) override {}
    bool step(Ledger& ledger) override
    {
        auto ended = job_->step(ledger);
        if (!ended)
            return false;
        result_ = *std::move(ended);
        return true;
    }
    void refuse(Error error) override { result_ = Result<T>(std::move(error)); }
    void complete() override { done(std::move(result_)); }

    std::move_only_function<void(Result<T>)> done;

private:
    std::unique_ptr<Job<T>> job_;
    Result<T> result_ = Error{"not done", "4.3.0"};
};

using Requests = std::vector<std::unique_ptr<Request>>;

}  // namespace posthorn::spool
