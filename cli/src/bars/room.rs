//! Who gets the rows of a terminal that is too short for all: heads of images before layers, running images before those that wait and those
//! that have ended, and layers in equal shares.

/// What one image would like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Wish {
    /// Rows without which it is not shown.
    pub(super) head: usize,
    /// Rows for its layers.
    pub(super) more: usize,
    /// Lower ones are shown first.
    pub(super) urgency: u8,
}

/// What each gets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Share {
    /// Rows beyond the head; `None` for what is not shown.
    pub(super) rows: Vec<Option<usize>>,
    /// How many are not shown. One row is kept for saying so.
    pub(super) left_out: usize,
}

/// Shares so many rows out.
pub(super) fn share(wishes: &[Wish], rows: usize) -> Share {
    let needed: usize = wishes.iter().map(|wish| wish.head).sum();
    let mut room = if needed > rows { rows.saturating_sub(1) } else { rows };
    let mut order: Vec<usize> = (0..wishes.len()).collect();
    order.sort_by_key(|at| (wishes[*at].urgency, *at));
    let mut given: Vec<Option<usize>> = vec![None; wishes.len()];
    for at in &order {
        if wishes[*at].head <= room {
            room -= wishes[*at].head;
            given[*at] = Some(0);
        }
    }
    let mut wanting = order.iter().copied().filter(|at| given[*at].is_some() && wishes[*at].more > 0).collect::<Vec<_>>();
    while room > 0 && !wanting.is_empty() {
        for at in std::mem::take(&mut wanting) {
            let rows = given[at].unwrap_or(0);
            if room > 0 && rows < wishes[at].more {
                given[at] = Some(rows + 1);
                room -= 1;
                wanting.push(at);
            }
        }
    }
    let left_out = given.iter().filter(|rows| rows.is_none()).count();
    Share { rows: given, left_out }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn wish(head: usize, more: usize, urgency: u8) -> Wish {
        Wish { head, more, urgency }
    }

    #[test]
    fn who_wants_little_leaves_the_rest_to_the_others() {
        assert_eq!(share(&[wish(2, 1, 0), wish(2, 9, 0)], 10), Share { rows: vec![Some(1), Some(5)], left_out: 0 });
    }

    #[test]
    fn running_images_come_first_and_the_others_are_counted() {
        let wishes = [wish(2, 0, 3), wish(2, 4, 0), wish(1, 0, 2)];
        assert_eq!(share(&wishes, 4), Share { rows: vec![None, Some(0), Some(0)], left_out: 1 });
    }

    #[test]
    fn where_nothing_fits_nothing_is_given() {
        assert_eq!(share(&[wish(2, 2, 0)], 1), Share { rows: vec![None], left_out: 1 });
        assert_eq!(share(&[], 5), Share { rows: vec![], left_out: 0 });
    }
}
