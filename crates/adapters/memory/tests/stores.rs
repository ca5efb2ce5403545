//! The stores' conformance suites on the in-memory adapters.

mod messages {
    use klatch_memory::messages::MessageStore;

    klatch_conformance::message_store_tests!((MessageStore::new(), ()));
    klatch_conformance::activity_tests!((MessageStore::new(), ()));
}

mod metadata {
    use klatch_memory::metadata::MetadataStore;

    klatch_conformance::metadata_store_tests!((MetadataStore::new(), ()));
}

mod accounts {
    use klatch_memory::accounts::Accounts;

    klatch_conformance::account_store_tests!((Accounts::new(), ()));
    klatch_conformance::invitation_store_tests!((Accounts::new(), ()));
    klatch_conformance::api_token_store_tests!((Accounts::new(), ()));
}

mod whereabouts {
    use klatch_memory::whereabouts::MemoryWhereabouts;

    klatch_conformance::whereabouts_store_tests!((MemoryWhereabouts::default(), ()));
}

mod keys {
    use std::sync::Arc;

    use klatch_conformance::sample::Repeatable;
    use klatch_memory::keys::Keys;

    klatch_conformance::key_store_tests!((Keys::new(Arc::new(Repeatable::new(1))), ()));
}

mod key_index {
    use klatch_memory::key_index::MemoryKeyIndex;

    klatch_conformance::key_index_tests!((MemoryKeyIndex::default(), ()));
}
