//! A resource as the document that declares it. Every type is taken apart field by field, so that a
//! new field of the domain cannot be forgotten here.

use portcullis_domain::{
    Access, ApprovalRule, Environment, Escalation, Group, Login, PolicyText, PostgresCredential,
    PostgresTarget, PostgresTls, Protocol, Recording, Recordings, RequestTerms, Resource, Role,
    RoleAssignment, Rule, SeparationMode, SeparationOfDuties, SshCredential, SshTarget, Target,
    Threshold, Tier, User, format_duration,
};

use super::*;

impl From<&Resource> for Document {
    fn from(resource: &Resource) -> Self {
        match resource {
            Resource::Environment(r) => {
                Self::Environment { metadata: named(&r.name), spec: environment(r) }
            }
            Resource::Group(Group { name, description }) => Self::Group {
                metadata: named(name),
                spec: GroupSpec { description: description.clone() },
            },
            Resource::User(r) => Self::User { metadata: named(&r.name), spec: user(r) },
            Resource::Target(r) => Self::Target {
                metadata: TargetMetadata { name: r.name.to_string(), labels: r.labels.clone() },
                spec: target(r),
            },
            Resource::Role(r) => Self::Role { metadata: named(&r.name), spec: role(r) },
            Resource::RoleAssignment(r) => {
                Self::RoleAssignment { metadata: named(&r.name), spec: assignment(r) }
            }
            Resource::Policy(PolicyText { name, description, cedar }) => Self::Policy {
                metadata: named(name),
                spec: PolicySpec { description: description.clone(), cedar: cedar.clone() },
            },
            Resource::Invariant(r) => {
                Self::Invariant { metadata: named(&r.name), spec: InvariantSpec::from(r) }
            }
            Resource::SeparationOfDuties(SeparationOfDuties { name, description, roles, mode }) => {
                Self::SeparationOfDuties {
                    metadata: named(name),
                    spec: SeparationSpec {
                        description: description.clone(),
                        roles: texts(roles),
                        mode: Some(match mode {
                            SeparationMode::Static => SeparationModeSpec::Static,
                            SeparationMode::Dynamic => SeparationModeSpec::Dynamic,
                        }),
                    },
                }
            }
        }
    }
}

fn named(name: &impl ToString) -> Metadata {
    Metadata { name: name.to_string() }
}

pub(super) fn texts<'i, T: ToString + 'i>(items: impl IntoIterator<Item = &'i T>) -> Vec<String> {
    items.into_iter().map(T::to_string).collect()
}

/// With every default written out: what is in force is read, not inferred.
fn environment(environment: &Environment) -> EnvironmentSpec {
    let Environment {
        name: _,
        tier,
        access,
        approval,
        approval_for,
        requests,
        max_grant,
        second_factor_max_age,
        recording,
        recordings,
        max_session,
        idle_timeout,
    } = environment;
    EnvironmentSpec {
        tier: self::tier(*tier),
        access: Some(match access {
            Access::OnRequest => AccessSpec::OnRequest,
            Access::Standing => AccessSpec::Standing,
        }),
        approval: approval.as_ref().map(approval_rule),
        approval_for: approval_for
            .iter()
            .map(|(kind, rule)| (kind.to_string(), approval_rule(rule)))
            .collect(),
        requests: (*requests != RequestTerms::default()).then(|| request_terms(requests)),
        max_grant: Some(format_duration(*max_grant)),
        second_factor: Some(match second_factor_max_age {
            None => SecondFactorSpec::None(NoneWord::None),
            Some(age) => {
                SecondFactorSpec::Rule(SecondFactorRule { max_age: format_duration(*age) })
            }
        }),
        recording: Some(match recording {
            Recording::Required => RecordingSpec::Required,
            Recording::BestEffort => RecordingSpec::BestEffort,
            Recording::Off => RecordingSpec::Off,
        }),
        recordings: (*recordings != Recordings::default()).then(|| RecordingsSpec {
            keep: recordings.keep.map(format_duration),
            readers: recordings.readers.as_ref().map(texts),
        }),
        max_session: max_session.map(format_duration),
        idle_timeout: idle_timeout.map(format_duration),
    }
}

fn approval_rule(rule: &ApprovalRule) -> ApprovalSpec {
    let mut spec = ApprovalSpec { group: None, groups: None, count: None, all: None, any: None };
    let each = |parts: &[ApprovalRule]| Some(parts.iter().map(approval_rule).collect());
    match rule {
        ApprovalRule::Threshold(Threshold { groups, count }) => {
            spec.groups = Some(texts(groups));
            spec.count = Some(*count);
        }
        // `Each` comes of requests and is never in a resource.
        ApprovalRule::All { all: parts } | ApprovalRule::Each { each: parts } => {
            spec.all = each(parts);
        }
        ApprovalRule::Any { any } => spec.any = each(any),
    }
    spec
}

fn request_terms(terms: &RequestTerms) -> RequestsSpec {
    let RequestTerms { expire_after, escalation, ticket } = terms;
    RequestsSpec {
        expire_after: Some(format_duration(*expire_after)),
        escalation: escalation.as_ref().map(|Escalation { after, groups }| EscalationSpec {
            after: format_duration(*after),
            groups: texts(groups),
        }),
        ticket: ticket.clone(),
    }
}

pub(super) fn tier(tier: Tier) -> TierSpec {
    match tier {
        Tier::Production => TierSpec::Production,
        Tier::Staging => TierSpec::Staging,
        Tier::Test => TierSpec::Test,
        Tier::Development => TierSpec::Development,
    }
}

fn user(User { name: _, full_name, groups, ssh_keys, disabled }: &User) -> UserSpec {
    UserSpec {
        full_name: full_name.clone(),
        groups: texts(groups),
        ssh_keys: ssh_keys.clone(),
        disabled: *disabled,
    }
}

fn target(target: &Target) -> TargetSpec {
    let (ssh, postgres) = match &target.protocol {
        Protocol::Ssh(settings) => (Some(ssh(settings)), None),
        Protocol::Postgres(settings) => (None, Some(postgres(settings))),
    };
    TargetSpec { environment: target.environment.to_string(), ssh, postgres }
}

fn ssh(settings: &SshTarget) -> SshSpec {
    let SshTarget {
        host,
        port,
        aliases,
        logins,
        host_keys,
        host_authorities,
        credential,
        legacy_algorithms,
        accept_env,
    } = settings;
    let named = |secret: &String| SecretName { secret: secret.clone() };
    SshSpec {
        host: host.clone(),
        port: *port,
        aliases: texts(aliases),
        logins: texts(logins),
        host_keys: host_keys.clone(),
        host_authorities: host_authorities.clone(),
        credential: match credential {
            SshCredential::Certificate => CredentialSpec::Certificate,
            SshCredential::Key { secret } => CredentialSpec::Key(named(secret)),
            SshCredential::Password { secret } => CredentialSpec::Password(named(secret)),
        },
        legacy_algorithms: texts(legacy_algorithms),
        accept_env: accept_env.clone(),
    }
}

fn postgres(settings: &PostgresTarget) -> PostgresSpec {
    let PostgresTarget { host, port, aliases, databases, logins, credentials, tls } = settings;
    let login = |(name, credential): (&Login, &PostgresCredential)| {
        let named = |secret: &String| Some(SecretName { secret: secret.clone() });
        let (password, certificate) = match credential {
            PostgresCredential::Password { secret } => (named(secret), None),
            PostgresCredential::Certificate { secret } => (None, named(secret)),
        };
        PostgresLoginSpec { name: name.to_string(), password, certificate }
    };
    PostgresSpec {
        host: host.clone(),
        port: *port,
        aliases: texts(aliases),
        databases: databases.clone(),
        logins: logins.iter().zip(credentials).map(login).collect(),
        tls: match tls {
            PostgresTls::SystemRoots => PostgresTlsSpec::SystemRoots,
            PostgresTls::Authority { certificates } => {
                PostgresTlsSpec::Authority(certificates.clone())
            }
            PostgresTls::Plaintext => PostgresTlsSpec::Plaintext,
        },
    }
}

fn role(role: &Role) -> RoleSpec {
    let Role { name: _, description, inherits, conditions, break_glass, allow, deny, control } =
        role;
    RoleSpec {
        inherits: texts(inherits),
        description: description.clone(),
        conditions: (!conditions.is_empty()).then(|| ConditionsSpec::from(conditions)),
        break_glass: break_glass.as_ref().map(BreakGlassSpec::from),
        allow: allow.iter().map(rule).collect(),
        deny: deny.iter().map(rule).collect(),
        control: texts(control),
    }
}

fn rule(rule: &Rule) -> RuleSpec {
    let Rule {
        environments,
        targets,
        labels,
        actions,
        logins,
        commands,
        paths,
        destinations,
        databases,
    } = rule;
    RuleSpec {
        environments: texts(environments),
        targets: texts(targets),
        labels: labels.clone(),
        actions: texts(actions),
        logins: texts(logins),
        commands: commands.clone(),
        paths: paths.clone(),
        destinations: destinations.clone(),
        databases: databases.clone(),
    }
}

fn assignment(assignment: &RoleAssignment) -> RoleAssignmentSpec {
    let RoleAssignment { name: _, role, users, groups } = assignment;
    RoleAssignmentSpec { role: role.to_string(), users: texts(users), groups: texts(groups) }
}
