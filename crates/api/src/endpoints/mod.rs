//! Every endpoint: one file, one line in this list.

mod apply;
mod approve_change;
mod approve_request;
mod audit_checkpoint;
mod audit_exports;
mod authorities;
mod begin_passkey_login;
mod begin_passkey_session;
mod begin_proof;
mod begin_session;
mod break_glass;
mod cancel_request;
mod change_password;
mod close_review;
mod confirm_confirmation;
mod confirm_passkey;
mod confirm_totp;
mod deny_change;
mod deny_request;
mod drop_gate;
mod end_session;
mod end_sign_in;
mod enrol_passkey;
mod enrol_totp;
mod events;
mod export_audit;
mod export_recording;
mod export_resources;
mod finish_passkey_login;
mod forget_subject;
mod healthz;
mod kill_session;
mod lift_hold;
mod lift_lock;
mod list_changes;
mod list_environments;
mod list_factors;
mod list_grants;
mod list_holds;
mod list_locks;
mod list_own_factors;
mod list_people;
mod list_policies;
mod list_requests;
mod list_resources;
mod list_reviews;
mod list_secrets;
mod list_sessions;
mod list_sign_ins;
mod login;
mod logout;
mod metrics;
mod my_reach;
mod openapi;
mod place_hold;
mod place_lock;
mod plan;
mod prove;
mod prove_audit;
mod put_secret;
mod raise_gate;
mod raise_session;
mod readyz;
mod refuse_confirmation;
mod remove_factor;
mod rename_factor;
mod renew_recovery_codes;
mod request_access;
mod reset_credentials;
mod revoke_grant;
mod search_audit;
mod search_recordings;
mod session_details;
mod show_change;
mod show_confirmation;
mod show_request;
mod show_review;
mod show_session;
mod ssh_config;
mod step_up;
mod suggest_request;
mod tail_audit;
mod usage;
mod verify_audit;
mod verify_recordings;
mod watch_session;
mod who_can;
mod whoami;
mod why;

use crate::endpoint::Endpoint;

/// Every endpoint of the API; what is not here is not served.
pub static ENDPOINTS: &[Endpoint] = &[
    login::ENDPOINT,
    begin_passkey_login::ENDPOINT,
    finish_passkey_login::ENDPOINT,
    logout::ENDPOINT,
    begin_session::ENDPOINT,
    begin_passkey_session::ENDPOINT,
    show_session::ENDPOINT,
    raise_session::ENDPOINT,
    end_session::ENDPOINT,
    list_sign_ins::ENDPOINT,
    end_sign_in::ENDPOINT,
    whoami::ENDPOINT,
    change_password::ENDPOINT,
    enrol_totp::ENDPOINT,
    confirm_totp::ENDPOINT,
    renew_recovery_codes::ENDPOINT,
    begin_proof::ENDPOINT,
    step_up::ENDPOINT,
    list_own_factors::ENDPOINT,
    list_factors::ENDPOINT,
    rename_factor::ENDPOINT,
    remove_factor::ENDPOINT,
    enrol_passkey::ENDPOINT,
    confirm_passkey::ENDPOINT,
    show_confirmation::ENDPOINT,
    confirm_confirmation::ENDPOINT,
    refuse_confirmation::ENDPOINT,
    reset_credentials::ENDPOINT,
    plan::ENDPOINT,
    prove::ENDPOINT,
    apply::ENDPOINT,
    list_changes::ENDPOINT,
    show_change::ENDPOINT,
    approve_change::ENDPOINT,
    deny_change::ENDPOINT,
    list_resources::ENDPOINT,
    export_resources::ENDPOINT,
    put_secret::ENDPOINT,
    list_secrets::ENDPOINT,
    my_reach::ENDPOINT,
    list_environments::ENDPOINT,
    list_people::ENDPOINT,
    why::ENDPOINT,
    who_can::ENDPOINT,
    list_policies::ENDPOINT,
    usage::ENDPOINT,
    request_access::ENDPOINT,
    list_requests::ENDPOINT,
    suggest_request::ENDPOINT,
    show_request::ENDPOINT,
    approve_request::ENDPOINT,
    deny_request::ENDPOINT,
    cancel_request::ENDPOINT,
    list_grants::ENDPOINT,
    revoke_grant::ENDPOINT,
    break_glass::ENDPOINT,
    list_reviews::ENDPOINT,
    show_review::ENDPOINT,
    close_review::ENDPOINT,
    place_lock::ENDPOINT,
    list_locks::ENDPOINT,
    lift_lock::ENDPOINT,
    drop_gate::ENDPOINT,
    raise_gate::ENDPOINT,
    list_sessions::ENDPOINT,
    session_details::ENDPOINT,
    kill_session::ENDPOINT,
    watch_session::ENDPOINT,
    export_recording::ENDPOINT,
    verify_recordings::ENDPOINT,
    search_recordings::ENDPOINT,
    place_hold::ENDPOINT,
    list_holds::ENDPOINT,
    lift_hold::ENDPOINT,
    forget_subject::ENDPOINT,
    tail_audit::ENDPOINT,
    search_audit::ENDPOINT,
    audit_checkpoint::ENDPOINT,
    audit_exports::ENDPOINT,
    verify_audit::ENDPOINT,
    export_audit::ENDPOINT,
    prove_audit::ENDPOINT,
    events::ENDPOINT,
    ssh_config::ENDPOINT,
    authorities::ENDPOINT,
    openapi::ENDPOINT,
    healthz::ENDPOINT,
    readyz::ENDPOINT,
    metrics::ENDPOINT,
];
