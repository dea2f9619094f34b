//! One page of a list: its size, and its objects, which are decoded one after the other.

use std::fmt;
use std::marker::PhantomData;

use serde::de::{
    DeserializeOwned, DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor,
};

/// Objects of one page at most.
const MOST: u32 = 250;

/// The largest response that is read, in bytes. Above it, the rest is not received.
pub const LIMIT: usize = 4 << 20;

/// The number of objects to ask for. A page over [`LIMIT`] is asked for again with half as many.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PageSize(u32);

impl Default for PageSize {
    fn default() -> Self {
        Self(MOST)
    }
}

impl PageSize {
    /// A page of a single object.
    pub const ONE: Self = Self(1);

    /// Returns the number of objects.
    pub fn objects(self) -> u32 {
        self.0
    }

    /// Returns the size after a page over the limit; `None` after a page of a single object.
    pub fn halved(self) -> Option<Self> {
        (self.0 > 1).then(|| Self(self.0.div_ceil(2)))
    }

    /// Returns the size after a page of so many bytes. It doubles only where twice the bytes are still far from the
    /// limit.
    pub fn after(self, bytes: usize) -> Self {
        if bytes > LIMIT / 4 { self } else { Self(self.0.saturating_mul(2).min(MOST)) }
    }
}

/// The metadata of a list.
#[derive(serde::Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase", default)]
pub struct ListHead {
    /// The version of the collection.
    pub resource_version: Option<String>,
    /// The token of the next page.
    #[serde(rename = "continue")]
    pub continue_token: Option<String>,
}

/// Decodes a page, and hands over each object as it is decoded: a page of objects is never in memory.
///
/// # Errors
/// The page is not a list of such objects. Some may have been handed over.
pub fn decode<K: DeserializeOwned>(body: &[u8], put: &mut impl FnMut(K)) -> serde_json::Result<ListHead> {
    let mut head = ListHead::default();
    let list = ListSeed { head: &mut head, items: ItemsSeed { put, object: PhantomData } };
    list.deserialize(&mut serde_json::Deserializer::from_slice(body))?;
    Ok(head)
}

/// Returns the metadata at the beginning of a page of which only that was received. `None` if the objects come first.
pub fn head(beginning: &[u8]) -> Option<ListHead> {
    let mut head = ListHead::default();
    let list = ListSeed { head: &mut head, items: NoItems };
    // It ends at the first object with an error.
    let _ = list.deserialize(&mut serde_json::Deserializer::from_slice(beginning));
    head.resource_version.is_some().then_some(head)
}

struct ListSeed<'a, I> {
    head: &'a mut ListHead,
    items: I,
}

/// Decodes the list of objects.
trait Items {
    fn items<'de, A: MapAccess<'de>>(&mut self, map: &mut A) -> Result<(), A::Error>;
}

struct NoItems;

impl Items for NoItems {
    fn items<'de, A: MapAccess<'de>>(&mut self, _: &mut A) -> Result<(), A::Error> {
        Err(A::Error::custom("the objects were not received"))
    }
}

struct ItemsSeed<'a, K, P> {
    put: &'a mut P,
    object: PhantomData<K>,
}

impl<K: DeserializeOwned, P: FnMut(K)> Items for ItemsSeed<'_, K, P> {
    fn items<'de, A: MapAccess<'de>>(&mut self, map: &mut A) -> Result<(), A::Error> {
        map.next_value_seed(ItemsSeed { put: &mut *self.put, object: PhantomData })
    }
}

impl<'de, K: DeserializeOwned, P: FnMut(K)> DeserializeSeed<'de> for ItemsSeed<'_, K, P> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de, K: DeserializeOwned, P: FnMut(K)> Visitor<'de> for ItemsSeed<'_, K, P> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of objects")
    }

    /// Accepts `null`, which is an empty list of the API server's.
    fn visit_unit<E: Error>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut objects: A) -> Result<(), A::Error> {
        while let Some(object) = objects.next_element()? {
            (self.put)(object);
        }
        Ok(())
    }
}

impl<'de, I: Items> DeserializeSeed<'de> for ListSeed<'_, I> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de, I: Items> Visitor<'de> for ListSeed<'_, I> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list")
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<(), A::Error> {
        while let Some(key) = map.next_key::<String>()? {
            match key.as_str() {
                "metadata" => *self.head = map.next_value()?,
                "items" => self.items.items(&mut map)?,
                _ => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::{LIMIT, ListHead, PageSize, decode, head};

    const PAGE: &str = r#"{"kind":"NamespaceList","metadata":{"resourceVersion":"7","continue":"c","remainingItemCount":3},"items":[1,2,3]}"#;

    fn seven() -> ListHead {
        ListHead { resource_version: Some("7".to_owned()), continue_token: Some("c".to_owned()) }
    }

    #[test]
    fn each_object_is_handed_over_and_the_head_is_returned() {
        let mut seen = Vec::new();
        assert_eq!(decode(PAGE.as_bytes(), &mut |number: u8| seen.push(number)).unwrap(), seven());
        assert_eq!(seen, [1, 2, 3]);
        // Custom resources are written in the order of their keys.
        let sorted = r#"{"items":[4],"metadata":{"resourceVersion":"7","continue":"c"}}"#;
        assert_eq!(decode(sorted.as_bytes(), &mut |number: u8| seen.push(number)).unwrap(), seven());
        assert_eq!(seen, [1, 2, 3, 4]);
        assert!(decode(br#"{"metadata":{},"items":null}"#, &mut |_: u8| ()).is_ok());
        assert!(decode(br#"{"metadata":{},"items":["x"]}"#, &mut |_: u8| ()).is_err());
    }

    #[test]
    fn the_head_is_read_from_the_beginning_of_a_page() {
        let received = &PAGE.as_bytes()[..PAGE.find(",2").unwrap()];
        assert_eq!(head(received), Some(seven()));
        assert_eq!(head(br#"{"items":[1"#), None);
    }

    #[test]
    fn a_page_shrinks_to_one_object_and_grows_again() {
        let mut size = PageSize::default();
        let mut sizes = vec![size.objects()];
        while let Some(half) = size.halved() {
            size = half;
            sizes.push(size.objects());
        }
        assert_eq!(sizes, [250, 125, 63, 32, 16, 8, 4, 2, 1]);
        assert_eq!(size.after(LIMIT / 4 + 1), size);
        assert_eq!(size.after(LIMIT / 4).objects(), 2);
        assert_eq!(PageSize::default().after(0), PageSize::default());
    }
}
