import { placeText, type RouteProblem } from '../../sidecar/domain/route-document.ts'

/** The problem in a line: `routes[2].path: …`. */
export function problemText({ place, message }: RouteProblem): string {
  return place.length === 0 ? message : `${placeText(place)}: ${message}`
}
